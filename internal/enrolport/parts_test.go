package enrolport

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"testudo/internal/enrolment"
)

var netAddr = netip.MustParseAddrPort("192.0.2.7:4711")

type clientCertificate struct {
	name       string
	template   *x509.Certificate // nil for none
	stranger   bool              // of another authority
	ok, strict bool              // gets a key without, with host check
}

func clientCertificates() []clientCertificate {
	here := net.IPv4(127, 0, 0, 1)
	return []clientCertificate{
		{"none", nil, false, false, false},
		{"address", &x509.Certificate{IPAddresses: []net.IP{here}}, false, true, true},
		{"address-as-name", &x509.Certificate{Subject: pkix.Name{CommonName: "127.0.0.1"}}, false, true, true},
		{"address-as-alternative-name", &x509.Certificate{DNSNames: []string{"web-01", "127.0.0.1"}}, false, true, true},
		{"name", &x509.Certificate{Subject: pkix.Name{CommonName: "web-01"}}, false, true, false},
		{"other-address", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)}}, false, true, false},
		{"stranger", &x509.Certificate{IPAddresses: []net.IP{here}}, true, false, false},
		{"expired", &x509.Certificate{IPAddresses: []net.IP{here}, NotAfter: time.Now().Add(-time.Minute)}, false, false, false},
	}
}

func TestRates(t *testing.T) {
	r := newRates(1, 2)
	now := time.Unix(1000, 0)
	address := netip.MustParseAddr
	for i, tt := range []struct {
		from string
		at   time.Duration
		want bool
	}{
		{"192.0.2.1", 0, true}, {"192.0.2.1", 0, true}, {"192.0.2.1", 0, false},
		{"192.0.2.2", 0, true},
		{"192.0.2.1", time.Second, true}, {"192.0.2.1", time.Second, false},
		{"2001:db8::1", 0, true}, {"2001:db8::2", 0, true}, {"2001:db8:0:0:ffff::1", 0, false}, {"2001:db8:0:1::1", 0, true},
	} {
		if got := r.allow(address(tt.from), now.Add(tt.at)); got != tt.want {
			t.Errorf("%d: %s %t", i, tt.from, got)
		}
	}
	if !newRates(-1, 0).allow(address("::1"), now) {
		t.Error("no bound is one")
	}
}

func TestRates_AreBounded(t *testing.T) {
	r := newRates(1, 1)
	now := time.Unix(1000, 0)
	first := netip.MustParseAddr("10.0.0.0")
	a := first
	for range 2 * mostAddresses {
		r.allow(a, now)
		a = a.Next()
	}
	if len(r.known) != mostAddresses || r.recent.Len() != mostAddresses {
		t.Errorf("%d, %d", len(r.known), r.recent.Len())
	}
	if !r.allow(first, now) {
		t.Error("the one that has not come for longest is not forgotten")
	}
	if r.allow(a.Prev(), now) {
		t.Error("the last one is forgotten")
	}
}

func names(ids []uint16) (list []string) {
	for _, s := range suites {
		if slices.Contains(ids, s.id) {
			list = append(list, s.name)
		}
	}
	return list
}

func TestCiphers_AreAllOfGos(t *testing.T) {
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		old := slices.ContainsFunc(s.SupportedVersions, func(v uint16) bool { return v <= tls.VersionTLS12 })
		known := slices.ContainsFunc(suites[:], func(have suite) bool { return have.id == s.ID })
		if old != known {
			t.Errorf("%s: %t", s.Name, known)
		}
	}
}

func TestCiphers(t *testing.T) {
	for list, want := range map[string]string{
		"":                              "",
		"ECDHE-RSA-AES256-GCM-SHA384":   "ECDHE-RSA-AES256-GCM-SHA384",
		"TLS_RSA_WITH_AES_128_CBC_SHA":  "AES128-SHA",
		"ECDHE+AESGCM":                  "ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-RSA-AES256-GCM-SHA384 ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-RSA-AES128-GCM-SHA256",
		"ECDHE+AESGCM:!aRSA":            "ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-ECDSA-AES128-GCM-SHA256",
		"!aRSA:ECDHE+AESGCM":            "ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-ECDSA-AES128-GCM-SHA256",
		"AES256-SHA -ALL AES128-SHA":    "AES128-SHA",
		"AES256-SHA,-ALL,AES256-SHA":    "AES256-SHA",
		"AES256-SHA:!ALL:AES256-SHA":    "",
		"AES256-SHA:+AES128-SHA":        "AES256-SHA",
		"RC4:3DES:!kRSA":                "ECDHE-RSA-DES-CBC3-SHA ECDHE-ECDSA-RC4-SHA ECDHE-RSA-RC4-SHA",
		"DHE:ADH:CAMELLIA:aNULL:NULL":   "",
		"CHACHA20:@SECLEVEL=2@STRENGTH": "ECDHE-ECDSA-CHACHA20-POLY1305 ECDHE-RSA-CHACHA20-POLY1305",
	} {
		ids, unknown := Ciphers(list)
		if got := strings.Join(names(ids), " "); got != want || len(unknown) > 0 {
			t.Errorf("%q: %s; unknown %q", list, got, unknown)
		}
	}
	ids, unknown := Ciphers("HIGH:WHAT:AES+WHAT:!:@WHAT")
	if len(ids) != 17 || !slices.Equal(unknown, []string{"WHAT", "AES+WHAT", "!", "@WHAT"}) {
		t.Errorf("%q, %q", names(ids), unknown)
	}
}

// What OpenSSL makes of lists, where it is present: of the suites that both have
// the same are left.
func TestCiphers_AsOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not here")
	}
	both := opensslNames(t, openssl, "ALL:COMPLEMENTOFALL:@SECLEVEL=0")
	for _, list := range []string{
		enrolment.DefaultCiphers, "HIGH", "ALL", "DEFAULT", "HIGH:!kRSA", "HIGH:!RSA", "ECDHE", "ECDH", "ECDSA", "aRSA", "kRSA+AES",
		"RSA", "TLSv1", "TLSv1.2", "TLSv1.0", "SSLv3", "SHA", "SHA1", "SHA256", "SHA384", "AES128", "AES256", "AESGCM", "CHACHA20", "kEECDH", "EECDH",
		"ALL:-HIGH", "HIGH:!SHA", "HIGH:!TLSv1.2", "HIGH:!aNULL:!eNULL", "AES+SHA", "EECDH+CHACHA20:EECDH+AESGCM:!aECDSA", "CBC", "HIGH:!CBC",
	} {
		var want []string
		for _, name := range opensslNames(t, openssl, list+":@SECLEVEL=0") {
			if slices.ContainsFunc(suites[:], func(s suite) bool { return s.name == name }) {
				want = append(want, name)
			}
		}
		ids, _ := Ciphers(list)
		var got []string
		for _, name := range names(ids) {
			if slices.Contains(both, name) {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", list, got, want)
		}
	}
}

func opensslNames(t *testing.T, openssl, list string) []string {
	t.Helper()
	out, err := exec.Command(openssl, "ciphers", "-tls1_2", "-s", list).Output()
	if err != nil { // a list that leaves nothing
		return nil
	}
	return strings.Split(string(bytes.TrimSpace(out)), ":")
}

func TestPassword(t *testing.T) {
	for text, want := range map[string]string{
		"secret\n": "secret", "secret": "secret", "se cret\r\nother\n": "se cret", "ab": "ab",
		"": "!", "\n": "!", "a\n": "!", "\nsecret\n": "!", strings.Repeat("x", 5000): "!",
	} {
		root := passwordRoot(t)
		if err := root.WriteFile(PasswordPath, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		got, err := Password(root, Owner{-1, -1}, slog.New(slog.DiscardHandler))
		if want == "!" && err == nil || want != "!" && (err != nil || got.Reveal() != want) {
			t.Errorf("%.20q: %q, %v", text, got.Reveal(), err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
	}
}

func TestPassword_DirectoryInItsPlace(t *testing.T) {
	root := passwordRoot(t)
	if err := root.Mkdir(PasswordPath, 0o750); err != nil {
		t.Fatal(err)
	}
	if _, err := Password(root, Owner{-1, -1}, nil); err == nil || errors.Is(err, ErrPassword) || !strings.Contains(err.Error(), PasswordPath) {
		t.Errorf("got %v", err)
	}
}

func TestPassword_IsMadeOnce(t *testing.T) {
	root := passwordRoot(t)
	var book logbook
	log := slog.New(slog.NewTextHandler(&book, nil))
	first, err := Password(root, Owner{-1, -1}, log)
	if err != nil || len(first.Reveal()) != 32 {
		t.Fatal(first.Reveal(), err)
	}
	if !strings.Contains(book.String(), "Random password chosen for agent authentication: "+first.Reveal()) {
		t.Error(book.String())
	}
	info, err := root.Stat(PasswordPath)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Error(info.Mode(), err)
	}
	again, err := Password(root, Owner{-1, -1}, nil)
	if err != nil || !again.Equal(first) {
		t.Error(again.Reveal(), err)
	}
}

func passwordRoot(t *testing.T) *os.Root {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	if err := root.Mkdir("etc", 0o770); err != nil {
		t.Fatal(err)
	}
	return root
}

// OpenSSL's client gets a key, with the list of ciphers that we have by default.
func TestServer_OpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not here")
	}
	p := open(t)
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		cmd := exec.CommandContext(t.Context(), openssl, "s_client", "-connect", p.address(), version, "-quiet",
			"-verify_return_error", "-verify_ip", "127.0.0.1", "-CAfile", filepath.Join(p.home, "etc/sslmanager.cert"))
		cmd.Stdin = strings.NewReader("OSSEC A:'web-01' V:'v4.7.5'\n")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil || string(out) != accepted("web-01", "any") {
			t.Errorf("%s: %q, %v\n%s", version, out, err, stderr.String())
		}
		p.desk.wait(t, "delivered web-01")
	}
}

func TestRoom_Watches(t *testing.T) {
	p := open(t)
	for i := range 3 {
		p.ask(t, fmt.Sprintf("OSSEC A:'web-%d'\n", i))
	}
	p.stop()
	if p.room.size() != 0 || p.room.waiting.Len() != 0 {
		t.Errorf("%d open, %d waiting", p.room.size(), p.room.waiting.Len())
	}
}
