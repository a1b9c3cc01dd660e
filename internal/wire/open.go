package wire

import (
	"bytes"
	"crypto/aes"
	"crypto/hmac"
	"crypto/sha256"
	"slices"
)

// Open appends the clear payload of token to dst. The signature is checked
// before anything is decrypted: on an error, which is ErrToken, neither dst's
// space nor token has been touched.
//
// dst is either apart from token or token[:0]: a token may be opened in its
// own place, and the payload then begins where the token began.
//
// Tokens of any age are taken, as clocks need not agree. Only canonical text
// is: the URL-safe alphabet, padded, no new lines, unused bits zero.
func (k *Key) Open(dst, token []byte) ([]byte, error) {
	size, ok := rawSize(token)
	if !ok {
		return dst, ErrToken
	}
	s := k.take()
	defer k.states.Put(s)
	if !k.verify(s, token, size) {
		return dst, ErrToken
	}
	at := len(dst)
	dst = slices.Grow(dst, size-overhead)[:at+size-overhead]
	k.decrypt(s, dst[at:], token)
	n, ok := unpadded(dst[at:])
	if !ok {
		return dst[:at], ErrToken
	}
	return dst[:at+n], nil
}

// rawSize is the length of the bytes that token, by its form, stands for.
func rawSize(token []byte) (int, bool) {
	if len(token) < minToken || len(token)%tokenUnit != 0 {
		return 0, false
	}
	// The fast decoder takes '/' for '_', and the standard one skips new
	// lines; neither is canonical.
	for _, odd := range []byte{'/', '\n', '\r'} {
		if bytes.IndexByte(token, odd) >= 0 {
			return 0, false
		}
	}
	size := len(token) / tokenUnit * 3
	for i := 1; i <= 2 && token[len(token)-i] == '='; i++ {
		size--
	}
	return size, size >= overhead+aes.BlockSize && (size-overhead)%aes.BlockSize == 0
}

// verify checks text, version and signature, and leaves the token's start in
// s.iv.
func (k *Key) verify(s *state, token []byte, size int) bool {
	signed, done := size-sha256.Size, 0
	for len(token) > 0 {
		n, ok := k.readStep(s, &token, done == 0)
		if !ok {
			return false
		}
		raw := s.raw[:n]
		if done == 0 {
			if raw[0] != version {
				return false
			}
			copy(s.iv[:], raw[ivAt:cipherAt])
		}
		cut := min(max(signed-done, 0), n)
		s.mac.Write(raw[:cut])
		copy(s.tag[max(done-signed, 0):], raw[cut:])
		done += n
	}
	return done == size && hmac.Equal(s.tag[:], s.mac.Sum(s.sum[:0]))
}

// decrypt decrypts a verified token into clear, padding and all.
func (k *Key) decrypt(s *state, clear, token []byte) {
	s.dec.(ivSetter).SetIV(s.iv[:])
	from := cipherAt
	for len(clear) > 0 {
		n, _ := k.readStep(s, &token, from > 0)
		part := s.raw[from:n]
		part = part[:min(len(part), len(clear))]
		s.dec.CryptBlocks(clear, part)
		clear, from = clear[len(part):], 0
	}
}

// readStep decodes the next step of the token into s.raw and advances it.
func (k *Key) readStep(s *state, token *[]byte, first bool) (n int, ok bool) {
	width := step
	if first {
		width = firstStep
	}
	text := *token
	text = text[:min(len(text), width/3*tokenUnit)]
	*token = (*token)[len(text):]
	n, err := k.text.Decode(s.raw[:], text)
	if err != nil || len(*token) > 0 && n != width {
		return 0, false // padding in the middle, or a character that is none
	}
	return n, true
}

// unpadded is how many bytes clear has without its padding.
func unpadded(clear []byte) (int, bool) {
	pad := int(clear[len(clear)-1])
	if pad < 1 || pad > aes.BlockSize {
		return 0, false
	}
	n := len(clear) - pad
	for _, b := range clear[n:] {
		if int(b) != pad {
			return 0, false
		}
	}
	return n, true
}
