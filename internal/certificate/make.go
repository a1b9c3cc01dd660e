package certificate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"testudo/internal/atomicfile"
)

const (
	years = 10
	// backdated is how long before now a new certificate begins to hold: the clocks
	// of agents differ.
	backdated = 24 * time.Hour
	// fileMode of both files.
	fileMode fs.FileMode = 0o640
)

// Place says where a new certificate goes.
type Place struct {
	Certificate, Key string // relative to the root; empty for the defaults
	UID, GID         int    // owner of the files; atomicfile.Keep leaves it
}

// Path is the place of a file that is named in the configuration: a name that is
// not absolute is below dir.
func Path(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, filepath.FromSlash(name))
}

// Make makes a self-signed certificate and its key and returns its fingerprint.
// names are the names and addresses it is for; the first is its subject, too.
// Names that no host has are left out.
// Both files are there in the end, durable, or none is new. What is there is
// never replaced: with a certificate it is ErrExists; a key without a certificate,
// as a crash between the two leaves it, gets one.
func Make(root *os.Root, p Place, names ...string) (fingerprint string, err error) {
	if p.Certificate == "" {
		p.Certificate = DefaultCertificate
	}
	if p.Key == "" {
		p.Key = DefaultKey
	}
	if _, err := root.Lstat(p.Certificate); err == nil {
		return "", fmt.Errorf("make certificate %s: %w", p.Certificate, ErrExists)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("make certificate: %w", err)
	}
	options := atomicfile.Options{Mode: fileMode, UID: p.UID, GID: p.GID, Sync: true}
	key, made, err := keyFor(root, p.Key, options)
	if err != nil {
		return "", fmt.Errorf("make certificate: %w", err)
	}
	der, err := sign(key, names, time.Now())
	if err == nil {
		err = atomicfile.Write(root, p.Certificate, encode("CERTIFICATE", der), options)
	}
	if err != nil {
		if made {
			err = errors.Join(err, root.Remove(p.Key))
		}
		return "", fmt.Errorf("make certificate: %w", err)
	}
	return Fingerprint(der), nil
}

// keyFor reads the key that is there, or makes one.
func keyFor(root *os.Root, name string, o atomicfile.Options) (key crypto.Signer, made bool, err error) {
	f, err := root.OpenFile(name, readFlags, 0)
	if err == nil {
		defer f.Close()
		data, err := content(f, name)
		if err != nil {
			return nil, false, err
		}
		if key, _, err = parseKey(data); err != nil {
			return nil, false, fmt.Errorf("private key %s: %w", name, err)
		}
		return key, false, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, false, err
	}
	fresh, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, false, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(fresh)
	if err != nil {
		return nil, false, err
	}
	if err := atomicfile.Write(root, name, encode("PRIVATE KEY", der), o); err != nil {
		return nil, false, err
	}
	return fresh, true, nil
}

// sign makes the certificate of key. It is its own authority, so that an agent
// can be given it to check the manager with.
func sign(key crypto.Signer, names []string, now time.Time) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := x509.Certificate{
		SerialNumber:          serial.Add(serial, big.NewInt(1)),
		Subject:               pkix.Name{CommonName: "Testudo"},
		NotBefore:             now.Add(-backdated).UTC(),
		NotAfter:              now.AddDate(years, 0, 0).UTC(),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	for _, name := range names {
		switch ip := net.ParseIP(name); {
		case ip != nil:
			template.IPAddresses = append(template.IPAddresses, ip)
		case hostName(name):
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	if len(names) > 0 && hostName(names[0]) {
		template.Subject.CommonName = names[0]
	}
	return x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
}

// hostName tells whether name can stand in a certificate as one of a host. Others,
// such as that of a node with a blank in it, are left out.
func hostName(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	return name != "" && len(name) <= 64 && strings.Trim(name, letters) == "" &&
		name[0] != '.' && name[len(name)-1] != '.' && !strings.Contains(name, "..")
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
