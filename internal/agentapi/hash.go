package agentapi

import (
	"context"
	"crypto/md5"  //nolint:gosec // what users of the API ask for
	"crypto/sha1" //nolint:gosec // the same
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"strings"

	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/blake2s"

	"testudo/internal/fault"
)

// sumFunc makes what a hash is calculated with.
type sumFunc func() (hash.Hash, error)

func plainSum(f func() hash.Hash) sumFunc { return func() (hash.Hash, error) { return f(), nil } }

func sponge(f func() *sha3.SHA3) sumFunc { return func() (hash.Hash, error) { return f(), nil } }

var algorithms = map[string]sumFunc{
	"md5": plainSum(md5.New), "sha1": plainSum(sha1.New),
	"sha224": plainSum(sha256.New224), "sha256": plainSum(sha256.New),
	"sha384": plainSum(sha512.New384), "sha512": plainSum(sha512.New),
	"sha3_224": sponge(sha3.New224), "sha3_256": sponge(sha3.New256),
	"sha3_384": sponge(sha3.New384), "sha3_512": sponge(sha3.New512),
	"blake2b": func() (hash.Hash, error) { return blake2b.New512(nil) },
	"blake2s": func() (hash.Hash, error) { return blake2s.New256(nil) },
}

// hasher finds an algorithm by its name; "" is md5. The error is number 1723.
func hasher(name string) (sumFunc, error) {
	if name == "" {
		name = "md5"
	}
	sum, ok := algorithms[name]
	if !ok {
		known := slices.Sorted(maps.Keys(algorithms))
		return nil, fault.New(fault.BadHash, "Available algorithms are "+strings.Join(known, ", "))
	}
	return sum, nil
}

// hashPiece is how much of a file is read between two looks at the context.
const hashPiece = 1 << 20

// fileHash is the hash of a file below the home in hexadecimal digits, "" for
// one that is not there, or is no file.
func (a *API) fileHash(ctx context.Context, name string, sum sumFunc) (string, error) {
	info, err := a.cfg.Home.Lstat(name)
	if absent(err) || err == nil && !info.Mode().IsRegular() {
		return "", nil
	}
	if err != nil {
		return "", fault.Wrap(fault.FileUnreadable, nil, err)
	}
	f, err := a.cfg.Home.Open(name)
	if absent(err) {
		return "", nil
	}
	if err != nil {
		return "", fault.Wrap(fault.FileUnreadable, nil, err)
	}
	h, err := sum()
	for err == nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
			break
		}
		_, err = io.CopyN(h, f, hashPiece)
	}
	if closed := f.Close(); errors.Is(err, io.EOF) {
		err = closed
	}
	if err != nil {
		return "", fmt.Errorf("hash %s: %w", name, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
