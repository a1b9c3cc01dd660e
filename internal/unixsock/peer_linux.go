package unixsock

import "golang.org/x/sys/unix"

func credentials(fd int) (Credentials, error) {
	u, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return Credentials{}, err
	}
	return Credentials{PID: u.Pid, UID: u.Uid, GID: u.Gid}, nil
}
