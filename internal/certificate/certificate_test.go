package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var nobody = Place{UID: -1, GID: -1}

func home(t *testing.T) (*os.Root, string) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	if err := root.Mkdir("etc", 0o770); err != nil {
		t.Fatal(err)
	}
	return root, dir
}

func TestMake(t *testing.T) {
	root, dir := home(t)
	fingerprint, err := Make(root, nobody, "manager.example", "192.0.2.1", "2001:db8::1", "a node", "", "-.", "..")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{DefaultCertificate, DefaultKey} {
		if info, err := root.Stat(name); err != nil || info.Mode().Perm() != 0o640 {
			t.Error(name, info.Mode(), err)
		}
	}
	info, err := ReadInfo(dir, DefaultCertificate)
	if err != nil || info.Fingerprint != fingerprint || len(fingerprint) != 95 || info.Subject != "CN=manager.example" ||
		!slices.Equal(info.Names, []string{"manager.example", "192.0.2.1", "2001:db8::1"}) {
		t.Errorf("%+v, %v; %s", info, err, fingerprint)
	}
	if left := time.Until(info.NotAfter); left < 3650*24*time.Hour || left > 3654*24*time.Hour || time.Since(info.NotBefore) < time.Hour {
		t.Errorf("holds from %s to %s", info.NotBefore, info.NotAfter)
	}
	pair, err := ReadPair(dir, DefaultCertificate, DefaultKey)
	if err != nil {
		t.Fatal(err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		t.Errorf("key of type %T", pair.PrivateKey)
	}
	roots := x509.NewCertPool()
	roots.AddCert(pair.Leaf)
	for _, name := range []string{"manager.example", "192.0.2.1", "2001:db8::1"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMake_NeverReplaces(t *testing.T) {
	root, dir := home(t)
	if _, err := Make(root, nobody); err != nil {
		t.Fatal(err)
	}
	before, _ := root.ReadFile(DefaultCertificate)
	if _, err := Make(root, nobody); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	// What a crash between the two files leaves is used.
	key, _ := root.ReadFile(DefaultKey)
	if err := root.Remove(DefaultCertificate); err != nil {
		t.Fatal(err)
	}
	if _, err := Make(root, nobody); err != nil {
		t.Fatal(err)
	}
	again, _ := root.ReadFile(DefaultKey)
	now, _ := root.ReadFile(DefaultCertificate)
	if string(again) != string(key) || string(now) == string(before) {
		t.Error("the key is another one, or the certificate is not new")
	}
	if _, err := ReadPair(dir, DefaultCertificate, DefaultKey); err != nil {
		t.Error(err)
	}
	// A key that is none is not replaced either.
	root.Remove(DefaultCertificate)
	if err := root.WriteFile(DefaultKey, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Make(root, nobody); !errors.Is(err, ErrNoKey) {
		t.Error(err)
	}
	if text, _ := root.ReadFile(DefaultKey); string(text) != "precious" {
		t.Errorf("%q", text)
	}
}

func TestMake_WholeOrNotAtAll(t *testing.T) {
	root, _ := home(t)
	_, err := Make(root, Place{Certificate: "absent/x.cert", Key: "etc/x.key", UID: -1, GID: -1})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if entries, err := fs.ReadDir(root.FS(), "etc"); err != nil || len(entries) > 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
	if _, err := Make(root, Place{Certificate: "etc/x.cert", Key: "absent/x.key", UID: -1, GID: -1}); err == nil {
		t.Error("no error")
	}
	if entries, err := fs.ReadDir(root.FS(), "etc"); err != nil || len(entries) > 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

func TestReadPair_Refusals(t *testing.T) {
	one, dir := home(t)
	other, otherDir := home(t)
	for _, root := range []*os.Root{one, other} {
		if _, err := Make(root, nobody); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"text": "hello", "big": strings.Repeat("x", maxFile+1), "cut": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"locked": "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
	} {
		if err := one.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		cert, key string
		want      string
	}{
		{"absent", DefaultKey, "no such file"},
		{DefaultCertificate, "absent", "no such file"},
		{"text", DefaultKey, ErrNoCertificate.Error()},
		{"cut", DefaultKey, "read certificate cut"},
		{"big", DefaultKey, "more than"},
		{DefaultKey, DefaultKey, ErrNoCertificate.Error()},
		{DefaultCertificate, "text", ErrNoKey.Error()},
		{DefaultCertificate, "locked", ErrNoKey.Error()},
		{DefaultCertificate, filepath.Join(otherDir, DefaultKey), "do not belong together"},
	} {
		if _, err := ReadPair(dir, tt.cert, tt.key); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s and %s: %v, want %q", tt.cert, tt.key, err, tt.want)
		}
	}
}

// Both files in one, with parameters before the key, as openssl writes it.
func TestReadPair_OneFile(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not here")
	}
	_, dir := home(t)
	key, err := exec.Command(openssl, "ecparam", "-name", "prime256v1", "-genkey").Output()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "all.pem")
	if err := os.WriteFile(file, key, 0o600); err != nil {
		t.Fatal(err)
	}
	cert, err := exec.Command(openssl, "req", "-x509", "-new", "-key", file, "-subj", "/CN=m", "-days", "1").Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(key, cert...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadPair(dir, "all.pem", file); err != nil {
		t.Error(err)
	}
}

// OpenSSL takes our certificate for what it is, prints the same fingerprint, and
// an agent that has it can check the manager with it.
func TestMake_OpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not here")
	}
	root, dir := home(t)
	fingerprint, err := Make(root, nobody, "manager.example")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, DefaultCertificate)
	out, err := exec.Command(openssl, "x509", "-in", file, "-noout", "-fingerprint", "-sha256").Output()
	if err != nil || !strings.Contains(string(out), fingerprint) {
		t.Errorf("%s, %v; want %s", out, err, fingerprint)
	}
	out, err = exec.Command(openssl, "verify", "-purpose", "sslserver", "-verify_hostname", "manager.example", "-CAfile", file, file).CombinedOutput()
	if err != nil {
		t.Errorf("%s, %v", out, err)
	}
}

func FuzzReadPair(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if pair, err := ReadPair("", file, file); err == nil && len(pair.Certificate) == 0 {
			t.Error("a pair without a certificate")
		}
	})
}

// A pipe in the place of a file is told, not waited for.
func TestRead_Pipe(t *testing.T) {
	root, dir := home(t)
	if _, err := Make(root, nobody, "manager.example"); err != nil {
		t.Fatal(err)
	}
	const pipe = "etc/pipe"
	if err := syscall.Mkfifo(filepath.Join(dir, pipe), 0o640); err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func() error{
		"certificate": func() error { _, err := ReadPair(dir, pipe, DefaultKey); return err },
		"key":         func() error { _, err := ReadPair(dir, DefaultCertificate, pipe); return err },
		"key alone": func() error {
			_, err := Make(root, Place{Certificate: "etc/new", Key: pipe, UID: -1, GID: -1}, "manager.example")
			return err
		},
	} {
		ended := make(chan error, 1)
		go func() { ended <- read() }()
		select {
		case err := <-ended:
			if !errors.Is(err, ErrSpecial) || !strings.Contains(err.Error(), pipe) {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("%s: it waits for the pipe", name)
		}
	}
}
