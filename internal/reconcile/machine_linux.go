package reconcile

import "golang.org/x/sys/unix"

func readMachine() machine {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return machine{}
	}
	text := unix.ByteSliceToString
	return machine{text(u.Sysname[:]), text(u.Nodename[:]), text(u.Release[:]), text(u.Version[:]), text(u.Machine[:])}
}
