package enrolment

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	const one = "2001:0DB8:0000:0000:0000:0000:0000:0001"
	tests := []struct {
		text string
		want Address
	}{
		{"any", Address{"any", "any", "any"}},
		{"!any", Address{"any", "any", "any"}},
		{"10.0.0.7", Address{"10.0.0.7", "10.0.0.7", "10.0.0.7"}},
		{"!10.0.0.7", Address{"10.0.0.7", "10.0.0.7", "10.0.0.7"}},
		{"10.0.0.0/24", Address{"10.0.0.0/24", "10.0.0.0/24", "10.0.0.0"}},
		{"10.0.0.7/24", Address{"10.0.0.7/24", "10.0.0.7/24", "10.0.0.7"}},
		{"10.0.0.7/32", Address{"10.0.0.7/32", "10.0.0.7", "10.0.0.7"}},
		{"0.0.0.0/0", Address{"0.0.0.0/0", "0.0.0.0/0", "0.0.0.0"}},
		{"10.0.0.0/255.255.0.0", Address{"10.0.0.0/255.255.0.0", "10.0.0.0/16", "10.0.0.0"}},
		{"10.0.0.7/255.255.255.255", Address{"10.0.0.7/255.255.255.255", "10.0.0.7", "10.0.0.7"}},
		{"10.0.0.0/0.0.0.0", Address{"10.0.0.0/0.0.0.0", "10.0.0.0/0", "10.0.0.0"}},
		{"10.0.0.0/255.0.255.0", Address{"10.0.0.0/255.0.255.0", "10.0.0.0", "10.0.0.0"}},
		{"::ffff:10.0.0.7", Address{"10.0.0.7", "10.0.0.7", "10.0.0.7"}},
		{"::FFFF:10.0.0.0/255.0.0.0", Address{"10.0.0.0/255.0.0.0", "10.0.0.0/8", "10.0.0.0"}},
		{"2001:db8::1", Address{one, one, one}},
		{"2001:db8::1/64", Address{one + "/64", one + "/64", one}},
		{"2001:db8::1/064", Address{}},
		{"2001:db8::1/08", Address{one + "/8", one + "/8", one}},
		{"2001:db8::1/128", Address{one + "/128", one, one}},
		{"2001:db8::1/0", Address{one, one, one}},
		{"::", Address{Asked: "0000:0000:0000:0000:0000:0000:0000:0000", Stored: "0000:0000:0000:0000:0000:0000:0000:0000", Bare: "0000:0000:0000:0000:0000:0000:0000:0000"}},
		{"0::/64", Address{"0000:0000:0000:0000:0000:0000:0000:0000/64", "0000:0000:0000:0000:0000:0000:0000:0000/64", "0000:0000:0000:0000:0000:0000:0000:0000"}},
		{"::ffff:a00:7", Address{"0000:0000:0000:0000:0000:FFFF:0A00:0007", "0000:0000:0000:0000:0000:FFFF:0A00:0007", "0000:0000:0000:0000:0000:FFFF:0A00:0007"}},
	}
	for _, tc := range tests {
		got, err := ParseAddress(tc.text)
		if got != tc.want || (err == nil) != (tc.want != Address{}) {
			t.Errorf("%q: %+v, %v", tc.text, got, err)
		}
		if err != nil {
			continue
		}
		again, err := ParseAddress(got.Stored)
		if err != nil || again.Stored != got.Stored || again.Bare != got.Bare {
			t.Errorf("%q is stored as %q and read as %+v, %v", tc.text, got.Stored, again, err)
		}
	}
}

func TestParseAddress_Refused(t *testing.T) {
	for _, text := range []string{
		"", "!", "!!10.0.0.1", "Any", "any ", "host", "10.0.0", "10.0.0.256", "10.0.0.01", "10.0.0.1/", "10.0.0.1/33", "10.0.0.1/08",
		"10.0.0.1/24/1", "10.0.0.1/255.255.0", "10.0.0.1/::", "10.0.0.1\n", " 10.0.0.1", "10.0.0.1/+8", "::ffff:10.0.0.1.2", "::1.2.3.4",
		"0:0:0:0:0:ffff:1.2.3.4", "fe80::1%eth0", "::/64", "::1/129", "::1/", "::1/-1", "1:2:3:4:5:6:7:8:9", "12345::", ":::", "::ffff:", "::ffff:any",
		strings.Repeat("1", 100),
	} {
		if got, err := ParseAddress(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, text := range []string{
		"any", "!any", "10.0.0.0/255.255.0.0", "10.0.0.0/255.0.255.0", "::ffff:1.2.3.4/24", "2001:db8::1/64", "::/0", "1::/0", "::1%lo", "1.2.3.4/32",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAddress(text)
		if err != nil {
			if a != (Address{}) {
				t.Fatal(a, err)
			}
			return
		}
		for _, form := range []string{a.Asked, a.Stored, a.Bare} {
			if len(form) > maxAddress || !storable(form) || strings.ContainsAny(form, "!'") {
				t.Fatalf("%q becomes %q", text, form)
			}
			again, err := ParseAddress(form)
			if err != nil || again.Bare != a.Bare {
				t.Fatalf("%q becomes %q, which is %+v, %v", text, form, again, err)
			}
		}
		if again, _ := ParseAddress(a.Stored); again.Stored != a.Stored {
			t.Fatalf("%q is stored as %q, and that as %q", text, a.Stored, again.Stored)
		}
		if a.Bare == AnyAddress {
			return
		}
		if _, err := netip.ParseAddr(a.Bare); err != nil {
			t.Fatal(err)
		}
	})
}
