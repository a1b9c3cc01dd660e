//go:build !linux

package unixsock

import "errors"

func credentials(int) (Credentials, error) { return Credentials{}, errors.ErrUnsupported }
