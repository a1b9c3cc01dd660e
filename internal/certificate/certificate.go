// Package certificate makes and reads the certificate that a node shows to those
// who enrol: self-signed, ECDSA P-256, ten years (docs/enrolment.md §2).
package certificate

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
)

// Where the certificate and its key are unless the configuration says otherwise,
// relative to the home.
const (
	DefaultCertificate = "etc/sslmanager.cert"
	DefaultKey         = "etc/sslmanager.key"
)

// maxFile bounds a file of certificates or of a key, in bytes.
const maxFile = 1 << 20

var (
	// ErrExists is returned by Make when there is a certificate already.
	ErrExists = errors.New("there is a certificate already")

	// ErrNoCertificate is in an error about a file without a certificate in PEM.
	ErrNoCertificate = errors.New("no certificate in PEM form")

	// ErrNoKey is in an error about a file without a private key in PEM that we can
	// use; one that is protected by a password is such a file.
	ErrNoKey = errors.New("no usable private key in PEM form")

	// ErrSpecial is in an error about what is no regular file, such as a pipe,
	// which would have its reader wait.
	ErrSpecial = errors.New("no regular file")
)

// Info is what people want to know of a certificate.
type Info struct {
	Fingerprint string // SHA-256, upper-case hexadecimal pairs with colons between, as openssl prints it
	Subject     string
	Names       []string // names and addresses it is for
	NotBefore   time.Time
	NotAfter    time.Time
}

// Fingerprint is the SHA-256 of a certificate in DER, as `openssl x509
// -fingerprint -sha256` prints it.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	var b strings.Builder
	for i, c := range sum {
		if i > 0 {
			b.WriteByte(':')
		}
		fmt.Fprintf(&b, "%02X", c)
	}
	return b.String()
}

// Describe tells of a certificate.
func Describe(c *x509.Certificate) Info {
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return Info{
		Fingerprint: Fingerprint(c.Raw), Subject: c.Subject.String(), Names: names,
		NotBefore: c.NotBefore, NotAfter: c.NotAfter,
	}
}

// ReadInfo tells of the first certificate in a file. A name that is not absolute
// is below dir.
func ReadInfo(dir, name string) (Info, error) {
	chain, err := ReadChain(dir, name)
	if err != nil {
		return Info{}, err
	}
	return Describe(chain[0]), nil
}

// ReadChain reads all certificates of a PEM file, at least one. A name that is not
// absolute is below dir.
func ReadChain(dir, name string) ([]*x509.Certificate, error) {
	data, err := readFile(dir, name)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	var chain []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read certificate %s: %w", name, err)
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, fmt.Errorf("read certificate %s: %w", name, ErrNoCertificate)
	}
	return chain, nil
}

// ReadPair reads a certificate (with those that vouch for it behind it) and its
// private key, and makes sure that they belong together. Names that are not
// absolute are below dir.
func ReadPair(dir, cert, key string) (tls.Certificate, error) {
	chain, err := ReadChain(dir, cert)
	if err != nil {
		return tls.Certificate{}, err
	}
	data, err := readFile(dir, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("read private key: %w", err)
	}
	signer, keyPEM, err := parseKey(data)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("read private key %s: %w", key, err)
	}
	if public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(chain[0].PublicKey) {
		return tls.Certificate{}, fmt.Errorf("certificate %s and private key %s do not belong together", cert, key)
	}
	var certPEM bytes.Buffer
	for _, c := range chain {
		certPEM.Write(encode("CERTIFICATE", c.Raw))
	}
	pair, err := tls.X509KeyPair(certPEM.Bytes(), keyPEM)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate %s with private key %s: %w", cert, key, err)
	}
	return pair, nil
}

// parseKey finds the private key in a PEM file and gives it back alone, too.
func parseKey(data []byte) (crypto.Signer, []byte, error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		key, ok := parseKeyBlock(block)
		if !ok {
			continue
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, nil, ErrNoKey
		}
		return signer, pem.EncodeToMemory(block), nil
	}
	return nil, nil, ErrNoKey
}

func parseKeyBlock(block *pem.Block) (key any, ok bool) {
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, false
	}
	return key, err == nil
}

// readFlags open a file without waiting for who may be at the other end of it.
const readFlags = os.O_RDONLY | syscall.O_NONBLOCK

// readFile reads a file as content does.
func readFile(dir, name string) ([]byte, error) {
	f, err := os.OpenFile(Path(dir, name), readFlags, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return content(f, name)
}

// content reads a regular file of a bounded size, opened with readFlags.
func content(f *os.File, name string) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w", name, ErrSpecial)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxFile:
		return nil, fmt.Errorf("%s: more than %d bytes", name, maxFile)
	}
	return data, nil
}
