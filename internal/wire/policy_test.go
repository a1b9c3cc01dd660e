package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// sealedAt is a frame whose token was made at a time with a given start.
func sealedAt(k *Key, at time.Time, start uint32) []byte {
	var iv [16]byte
	binary.BigEndian.PutUint32(iv[:], start)
	token := k.SealAt(nil, []byte("keepalive"), at, iv)
	return []byte(raw(1, "echo-c", string(token), false))
}

// nextWith reads one message under a policy and gives the reason of refusal.
func nextWith(t *testing.T, k *Key, p *TokenPolicy, sent []byte) string {
	t.Helper()
	d := NewDecoder(bytes.NewReader(slices.Clone(sent)), k, DefaultLimits())
	d.SetTokenPolicy(p)
	f, err := d.Next()
	if err == nil {
		if string(f.Payload) != "keepalive" {
			t.Errorf("payload %q", f.Payload)
		}
		return ""
	}
	var refused *RefusedError
	if !errors.As(err, &refused) {
		t.Fatalf("%v is no refusal", err)
	}
	if wantErr := refused.Reason != ReasonToken; wantErr != errors.Is(err, ErrTokenPolicy) {
		t.Errorf("%s is %v", refused.Reason, err)
	}
	return refused.Reason
}

func TestTokenPolicy_Age(t *testing.T) {
	k := newKey(t, exampleKey)
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for i, c := range []struct {
			off  time.Duration
			want string
		}{
			{0, ""},
			{-time.Minute, ""},
			{time.Minute, ""},
			{-time.Minute - time.Second, ReasonTokenAge},
			{time.Minute + time.Second, ReasonTokenAge},
			{-1 << 62, ReasonTokenAge},
			{1 << 62, ReasonTokenAge},
		} {
			sent := sealedAt(k, now.Add(c.off), uint32(i))
			if got := nextWith(t, k, NewTokenPolicy(time.Minute), sent); got != c.want {
				t.Errorf("token off by %v: %q, want %q", c.off, got, c.want)
			}
			if got := nextWith(t, k, nil, sent); got != "" {
				t.Errorf("token off by %v without a policy: %q", c.off, got)
			}
		}
	})
}

func TestTokenPolicy_Repetition(t *testing.T) {
	k := newKey(t, exampleKey)
	synctest.Test(t, func(t *testing.T) {
		p := NewTokenPolicy(time.Minute)
		sent := sealedAt(k, time.Now().Add(time.Minute), 7) // a clock ahead
		if got := nextWith(t, k, p, sent); got != "" {
			t.Fatalf("first time: %q", got)
		}
		for i := range uint32(12) { // on connections of their own, until it is too old
			if got := nextWith(t, k, p, sent); got != ReasonTokenAgain {
				t.Errorf("after %v: %q, want %q", time.Duration(i)*10*time.Second, got, ReasonTokenAgain)
			}
			if got := nextWith(t, k, p, sealedAt(k, time.Now(), 100+i)); got != "" {
				t.Errorf("another token: %q", got)
			}
			time.Sleep(10 * time.Second)
		}
		time.Sleep(time.Second)
		if got := nextWith(t, k, p, sent); got != ReasonTokenAge {
			t.Errorf("two minutes later: %q, want %q", got, ReasonTokenAge)
		}
	})
}

func TestTokenPolicy_RemembersOnlyGenuineTokens(t *testing.T) {
	k, other := newKey(t, exampleKey), newKey(t, "ABCDEF0123456789abcdef0123456789")
	p := NewTokenPolicy(time.Minute)
	for i := range uint32(100) {
		if got := nextWith(t, k, p, sealedAt(other, time.Now(), i)); got != ReasonToken {
			t.Fatalf("a token of another key: %q", got)
		}
	}
	for _, bad := range []string{"", "short", string(bytes.Repeat([]byte{'!'}, 100))} {
		if got := nextWith(t, k, p, []byte(raw(1, "echo-c", bad, false))); got != ReasonToken {
			t.Errorf("%q: %q", bad, got)
		}
	}
	if n := len(p.fresh) + len(p.stale); n != 0 {
		t.Errorf("%d tokens remembered", n)
	}
}

func TestTokenPolicy_IsBounded(t *testing.T) {
	p := NewTokenPolicy(time.Hour)
	now := time.Now()
	var last stamp
	for i := range uint32(3 * rememberedTokens) {
		last.at = now
		binary.BigEndian.PutUint32(last.start[:], i)
		if got := p.refuses(last, now); got != "" {
			t.Fatalf("token %d: %s", i, got)
		}
	}
	if n := len(p.fresh) + len(p.stale); n > 2*rememberedTokens {
		t.Errorf("%d tokens remembered, want at most %d", n, 2*rememberedTokens)
	}
	if got := p.refuses(last, now); got != ReasonTokenAgain {
		t.Errorf("the last token again: %q", got)
	}
}

func TestTokenPolicy_Off(t *testing.T) {
	if NewTokenPolicy(0) != nil || NewTokenPolicy(-time.Second) != nil {
		t.Error("an age of 0 makes a policy")
	}
}
