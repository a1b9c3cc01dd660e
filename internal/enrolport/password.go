package enrolport

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"syscall"

	"testudo/internal/agent"
	"testudo/internal/atomicfile"
	"testudo/internal/certificate"
)

const (
	// PasswordPath is the file of the password, relative to the home.
	PasswordPath = "etc/authd.pass" //nolint:gosec // where it is, not what it is

	maxPassword = 4096
	// passwordBytes is how much chance is in a password that we make.
	passwordBytes = 16
	passwordMode  = 0o640
)

// ErrPassword is in an error about a file that holds no password.
var ErrPassword = errors.New("the first line must be a password of at least two bytes")

// Owner says to whom a new file belongs; atomicfile.Keep leaves it.
type Owner struct{ UID, GID int }

// Password is ReadPassword; when there is no such file it makes one with a random
// password and logs that, as an operator who has asked for one needs it
// (docs/enrolment.md §14).
func Password(root *os.Root, own Owner, log *slog.Logger) (agent.Secret, error) {
	password, err := ReadPassword(root)
	if errors.Is(err, fs.ErrNotExist) {
		return newPassword(root, own, log)
	}
	return password, err
}

// ReadPassword reads the password of a home: the first line of etc/authd.pass. The
// error is fs.ErrNotExist, ErrPassword, certificate.ErrSpecial, or of reading.
func ReadPassword(root *os.Root) (agent.Secret, error) {
	f, err := root.OpenFile(PasswordPath, os.O_RDONLY|syscall.O_NONBLOCK, 0) // it waits for nobody
	if err != nil {
		return agent.Secret{}, fmt.Errorf("read password for enrolment: %w", err)
	}
	defer f.Close()
	switch info, err := f.Stat(); {
	case err != nil:
		return agent.Secret{}, fmt.Errorf("read password for enrolment: %w", err)
	case !info.Mode().IsRegular():
		return agent.Secret{}, fmt.Errorf("read password for enrolment %s: %w", PasswordPath, certificate.ErrSpecial)
	}
	line, err := bufio.NewReaderSize(f, maxPassword).ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return agent.Secret{}, fmt.Errorf("read password for enrolment %s: first line longer than %d bytes", PasswordPath, maxPassword)
	case err != nil && !errors.Is(err, io.EOF):
		return agent.Secret{}, fmt.Errorf("read password for enrolment: %w", err)
	}
	password := strings.TrimRight(string(line), "\r\n")
	if len(password) < 2 {
		return agent.Secret{}, fmt.Errorf("read password for enrolment %s: %w", PasswordPath, ErrPassword)
	}
	return agent.NewSecret(password), nil
}

func newPassword(root *os.Root, own Owner, log *slog.Logger) (agent.Secret, error) {
	var b [passwordBytes]byte
	if _, err := rand.Read(b[:]); err != nil {
		return agent.Secret{}, fmt.Errorf("make password for enrolment: %w", err)
	}
	password := hex.EncodeToString(b[:])
	options := atomicfile.Options{Mode: passwordMode, UID: own.UID, GID: own.GID, Sync: true}
	if err := atomicfile.Write(root, PasswordPath, []byte(password+"\n"), options); err != nil {
		return agent.Secret{}, fmt.Errorf("make password for enrolment: %w", err)
	}
	if log != nil {
		log.Info("Random password chosen for agent authentication: " + password)
	}
	return agent.NewSecret(password), nil
}
