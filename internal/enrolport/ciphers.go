package enrolport

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
)

// suite is a cipher suite of TLS 1.2 and before, under the name and with the
// words by which OpenSSL's lists choose it.
type suite struct {
	id    uint16
	name  string
	words string // with a blank before and behind each
}

// suites are all those that the program has, better ones first. Words that
// choose none of them stand in emptyWords.
var suites = [...]suite{ // read only
	{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "ECDHE-ECDSA-AES256-GCM-SHA384", ecdhe + ecdsaWords + gcm256},
	{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "ECDHE-RSA-AES256-GCM-SHA384", ecdhe + rsaWords + gcm256},
	{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-ECDSA-CHACHA20-POLY1305", ecdhe + ecdsaWords + chacha},
	{tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-RSA-CHACHA20-POLY1305", ecdhe + rsaWords + chacha},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ECDHE-ECDSA-AES128-GCM-SHA256", ecdhe + ecdsaWords + gcm128},
	{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "ECDHE-RSA-AES128-GCM-SHA256", ecdhe + rsaWords + gcm128},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, "ECDHE-ECDSA-AES128-SHA256", ecdhe + ecdsaWords + cbc128 + sha256},
	{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, "ECDHE-RSA-AES128-SHA256", ecdhe + rsaWords + cbc128 + sha256},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, "ECDHE-ECDSA-AES256-SHA", ecdhe + ecdsaWords + cbc256 + tls10},
	{tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, "ECDHE-RSA-AES256-SHA", ecdhe + rsaWords + cbc256 + tls10},
	{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, "ECDHE-ECDSA-AES128-SHA", ecdhe + ecdsaWords + cbc128 + tls10},
	{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, "ECDHE-RSA-AES128-SHA", ecdhe + rsaWords + cbc128 + tls10},
	{tls.TLS_RSA_WITH_AES_256_GCM_SHA384, "AES256-GCM-SHA384", krsa + rsaWords + gcm256},
	{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, "AES128-GCM-SHA256", krsa + rsaWords + gcm128},
	{tls.TLS_RSA_WITH_AES_128_CBC_SHA256, "AES128-SHA256", krsa + rsaWords + cbc128 + sha256},
	{tls.TLS_RSA_WITH_AES_256_CBC_SHA, "AES256-SHA", krsa + rsaWords + cbc256 + ssl3},
	{tls.TLS_RSA_WITH_AES_128_CBC_SHA, "AES128-SHA", krsa + rsaWords + cbc128 + ssl3},
	{tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA, "ECDHE-RSA-DES-CBC3-SHA", ecdhe + rsaWords + tripleDES + tls10},
	{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, "DES-CBC3-SHA", krsa + rsaWords + tripleDES + ssl3},
	{tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA, "ECDHE-ECDSA-RC4-SHA", ecdhe + ecdsaWords + rc4 + tls10},
	{tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA, "ECDHE-RSA-RC4-SHA", ecdhe + rsaWords + rc4 + tls10},
	{tls.TLS_RSA_WITH_RC4_128_SHA, "RC4-SHA", krsa + rsaWords + rc4 + ssl3},
}

// The words of OpenSSL's lists that are true of a suite.
const (
	ecdhe = " ECDHE EECDH kECDHE kEECDH ECDH "
	krsa  = " kRSA RSA "

	ecdsaWords = " aECDSA ECDSA "
	rsaWords   = " aRSA "

	gcm256    = " ALL DEFAULT HIGH TLSv1.2 AES AES256 AESGCM "
	gcm128    = " ALL DEFAULT HIGH TLSv1.2 AES AES128 AESGCM "
	chacha    = " ALL DEFAULT HIGH TLSv1.2 CHACHA20 "
	cbc256    = " ALL DEFAULT HIGH AES AES256 CBC "
	cbc128    = " ALL DEFAULT HIGH AES AES128 CBC "
	tripleDES = " ALL MEDIUM 3DES CBC "
	rc4       = " ALL MEDIUM RC4 "

	sha256 = " TLSv1.2 SHA256 "
	tls10  = " TLSv1 TLSv1.0 SHA SHA1 "
	ssl3   = " SSLv3 SHA SHA1 "
)

// emptyWords are those that OpenSSL knows and that choose no suite that we have.
const emptyWords = " LOW EXP EXPORT EXPORT40 EXPORT56 eNULL NULL aNULL COMPLEMENTOFALL DHE EDH kDHE kEDH DH kDH kDHr kDHd ADH AECDH aDH" +
	" aDSS DSS kECDHr kECDHe aECDH AESCCM AESCCM8 CCM ARIA ARIA128 ARIA256 ARIAGCM CAMELLIA CAMELLIA128 CAMELLIA256 DES RC2 IDEA SEED" +
	" MD5 PSK kPSK aPSK kECDHEPSK kDHEPSK kRSAPSK SRP kSRP aSRP GOST kGOST aGOST aGOST01 aGOST12 GOST94 GOST89MAC GOST2012" +
	" FIPS SUITEB128 SUITEB128ONLY SUITEB192 "

func (s suite) is(word string) bool {
	return s.name == word || tls.CipherSuiteName(s.id) == word || strings.Contains(s.words, " "+word+" ")
}

// Ciphers reads a list of ciphers as OpenSSL writes it, such as
// "HIGH:!ADH:@STRENGTH", and gives those of TLS 1.2 and before that it leaves.
// The suites of TLS 1.3 are always on, and of the others Go chooses the best by
// itself, so what a list says about their order has no effect. unknown are the
// words that mean nothing to OpenSSL or to us; as with OpenSSL they are passed
// over.
func Ciphers(list string) (ids []uint16, unknown []string) {
	var on, killed [len(suites)]bool
	for _, rule := range strings.FieldsFunc(list, func(r rune) bool { return r == ':' || r == ',' || r == ' ' || r == ';' }) {
		if strings.HasPrefix(rule, "@") {
			if rule != "@STRENGTH" && !strings.HasPrefix(rule, "@SECLEVEL=") {
				unknown = append(unknown, rule)
			}
			continue
		}
		action, words := rule[0], rule
		if strings.IndexByte("!-+", action) >= 0 {
			words = rule[1:]
		}
		chosen, known := choose(words)
		if !known {
			unknown = append(unknown, rule)
			continue
		}
		for i, is := range chosen {
			switch {
			case !is || action == '+':
			case action == '!':
				on[i], killed[i] = false, true
			case action == '-':
				on[i] = false
			default:
				on[i] = !killed[i]
			}
		}
	}
	for i, is := range on {
		if is {
			ids = append(ids, suites[i].id)
		}
	}
	return ids, unknown
}

// choose gives the suites of which all the words, joined by '+', are true.
func choose(words string) (chosen [len(suites)]bool, known bool) {
	for i := range chosen {
		chosen[i] = true
	}
	for word := range strings.SplitSeq(words, "+") {
		if word == "" {
			return chosen, false
		}
		found := strings.Contains(emptyWords, " "+word+" ")
		for i, s := range suites {
			if s.is(word) {
				found = true
			} else {
				chosen[i] = false
			}
		}
		if !found {
			return chosen, false
		}
	}
	return chosen, true
}

// usable tells whether any of the suites goes with the key of a certificate.
func usable(leaf *x509.Certificate, ids []uint16) bool {
	word := "aRSA"
	switch leaf.PublicKey.(type) {
	case *rsa.PublicKey:
	case *ecdsa.PublicKey:
		word = "aECDSA"
	default: // Ed25519 goes where ECDSA does
		word = "aECDSA"
	}
	return slices.ContainsFunc(suites[:], func(s suite) bool { return s.is(word) && slices.Contains(ids, s.id) })
}
