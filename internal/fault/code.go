package fault

import "strconv"

// Code is the number of an error, as peers and administrators know it
// (docs/errors.md).
type Code int

// Codes met on the paths of the cluster. The text of each is Code.Text.
const (
	Unspecified         Code = 1000 // anything unexpected; the reason is the extra message
	SocketMissing       Code = 1013 // the Unix socket of a daemon cannot be reached
	SocketTalk          Code = 1014 // talking to such a socket broke off
	DaemonsNotReady     Code = 1017 // extra: node_name, not_ready_daemons
	UnknownComponent    Code = 1101 // component not known, or its configuration unreadable
	SectionAbsent       Code = 1106 // a section is not in the configuration
	OptionsFile         Code = 1107 // the file of internal options is missing
	OptionMissing       Code = 1108 // an internal option is missing
	OptionNotNumber     Code = 1109 // an internal option is not a number
	OptionRange         Code = 1110 // an internal option is out of its range
	TemporaryUnusable   Code = 1119 // the directory of temporary files is not usable
	SocketRefused       Code = 1121 // a socket refuses connections
	BadOffset           Code = 1400
	BadLimit            Code = 1401
	BadSortField        Code = 1403
	LimitTooHigh        Code = 1405
	LimitZero           Code = 1406
	UnknownAgent        Code = 1701
	BadSelect           Code = 1724
	BadNodeType         Code = 1728
	NodeAbsent          Code = 1730
	ExecQueueMissing    Code = 1901
	ExecQueueRefused    Code = 1902
	ProcessUnknown      Code = 1913
	DatabaseRefused     Code = 2003 // the agent database answered with an error
	DatabaseUnreachable Code = 2005
	DatabaseRead        Code = 2007
	DatabaseRights      Code = 2008 // the database of rights is corrupt
	DatabaseTooLarge    Code = 2009
	DatabaseCut         Code = 2010

	RemoteText       Code = 3000 // an `err` reply that was plain text; the text is the extra message
	BundleWrite      Code = 3001
	PIDFile          Code = 3002
	ClusterConfig    Code = 3004
	ClusterJSON      Code = 3005
	ReadConfig       Code = 3006
	KeysFromWorker   Code = 3007
	DistributedAPI   Code = 3009
	NotRunning       Code = 3012
	NotRunningAPI    Code = 3013
	Directory        Code = 3015
	ErrorResponse    Code = 3016
	SendRequest      Code = 3018
	MasterTool       Code = 3019 // extra: EXECUTABLE_NAME, MASTER_IP
	RequestTimeout   Code = 3020
	APITimeout       Code = 3021
	UnknownNode      Code = 3022
	NotConnected     Code = 3023
	CommandTooLong   Code = 3024
	Decrypt          Code = 3025
	SendMemory       Code = 3026
	UnknownTask      Code = 3027
	DuplicateName    Code = 3028
	SameAsMaster     Code = 3029
	WrongCluster     Code = 3030
	WrongVersion     Code = 3031
	NoForwarding     Code = 3032
	FileVanished     Code = 3034
	StringAbsent     Code = 3035
	NotJSON          Code = 3036
	Chunks           Code = 3037
	ExtraValid       Code = 3038
	ReceiveTimeout   Code = 3039
	ReceiveFile      Code = 3040
	Busy             Code = 3090 // Testudo's own: too many requests at once
	PermissionDenied Code = 4000
)

// Class is the kind of an error on the wire: the name by which the receiver
// finds the title and the form of it.
type Class string

// All classes that exist on the wire.
const (
	ClassException     Class = "WazuhException"
	ClassInternal      Class = "WazuhInternalError"
	ClassCluster       Class = "WazuhClusterError"
	ClassBadRequest    Class = "WazuhError"
	ClassPermission    Class = "WazuhPermissionError"
	ClassNotFound      Class = "WazuhResourceNotFound"
	ClassTooMany       Class = "WazuhTooManyRequests"
	ClassNotAcceptable Class = "WazuhNotAcceptable"
)

// Title is the human title that belongs to the class, empty for a class that
// does not exist.
func (c Class) Title() string {
	switch c {
	case ClassException:
		return "WazuhException"
	case ClassInternal:
		return "Wazuh Internal Error"
	case ClassCluster:
		return "Wazuh Cluster Error"
	case ClassBadRequest:
		return "Bad Request"
	case ClassPermission:
		return "Permission Denied"
	case ClassNotFound:
		return "Resource Not Found"
	case ClassTooMany:
		return "Too Many Requests"
	case ClassNotAcceptable:
		return "Not Acceptable"
	}
	return ""
}

// Known tells whether the class exists on the wire.
func (c Class) Known() bool { return c.Title() != "" }

// hasIDs tells whether errors of the class carry the key `ids`.
func (c Class) hasIDs() bool {
	switch c {
	case ClassBadRequest, ClassPermission, ClassNotFound, ClassTooMany, ClassNotAcceptable:
		return true
	}
	return false
}

// HasIDs tells whether the error carries ids on the wire: its class is one of
// those of the API.
func (e *Error) HasIDs() bool { return e.class().hasIDs() }

// Text is the fixed text of the code: the beginning by which peers and
// administrators recognise it. A code without one gives "Code N".
func (c Code) Text() string {
	if d, ok := define(c); ok {
		return d.text
	}
	return "Code " + strconv.Itoa(int(c))
}

// Class is the class in which the code is normally sent; ClassInternal for a
// code that is not listed.
func (c Code) Class() Class {
	if d, ok := define(c); ok {
		return d.class
	}
	return ClassInternal
}

// Advice says in one sentence what an operator should do about the code, or
// is empty. It is for logs and command lines, never for the wire.
func (c Code) Advice() string {
	d, _ := define(c)
	return d.advice
}
