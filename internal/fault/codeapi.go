package fault

// Codes of requests about agents, groups, files and daemons, as users of the
// API know them (docs/errors.md §3).
const (
	PoolUnusable      Code = 900 // the original's child process cannot be started
	PoolBroken        Code = 901 // the original's child process died
	FileUnreadable    Code = 1005
	FileAbsent        Code = 1006 // or not permitted
	QueueUnreachable  Code = 1010 // a daemon's queue
	QueueSend         Code = 1011
	QueueMessage      Code = 1012
	NoAgentVersion    Code = 1015 // the agent never connected
	BodyNotJSON       Code = 1018
	BackupFailed      Code = 1019
	NoLogFile         Code = 1020
	InvalidSection    Code = 1102
	InvalidField      Code = 1103
	InvalidFileType   Code = 1104
	AgentFileOnly     Code = 1111 // of a group's files only its configuration may be uploaded
	EmptyFile         Code = 1112
	InvalidXML        Code = 1113
	InvalidMeaning    Code = 1114 // well-formed, but not accepted by the checker
	CheckerFailed     Code = 1115
	ConfigUnknown     Code = 1116 // of a component
	ComponentSilent   Code = 1117
	ComponentFailed   Code = 1118
	Experimental      Code = 1122
	RemoteCommand     Code = 1124
	InvalidConfig     Code = 1125
	ConfigWrite       Code = 1126
	ProtectedSection  Code = 1127
	ConfigNotOf       Code = 1128 // the configuration does not belong to the component
	HigherVersions    Code = 1129
	BadStatus         Code = 1202
	BadLevel          Code = 1203
	BadRequirement    Code = 1205
	RuleFileRights    Code = 1207
	RuleAbsent        Code = 1208
	RuleFolderUnknown Code = 1209
	RuleFolderDefault Code = 1210
	RuleFolderAbsent  Code = 1211
	StatsParameters   Code = 1307
	StatsAbsent       Code = 1308
	StatsDamaged      Code = 1309
	NotForManager     Code = 1310

	BadSortOrder  Code = 1402
	BadQuery      Code = 1407
	BadQueryField Code = 1408
	BadOperator   Code = 1409
	BadDistinct   Code = 1410
	BadTimeFrame  Code = 1411
	BadDate       Code = 1412
	RuleParse     Code = 1413
	RuleRights    Code = 1414
	RuleFile      Code = 1415 // the file of rules does not exist

	DecoderParse         Code = 1501
	DecoderRights        Code = 1502
	DecoderFile          Code = 1503 // the file of decoders does not exist
	DecoderAbsent        Code = 1504
	DecoderFolderUnknown Code = 1505
	DecoderFolderDefault Code = 1506
	DecoderFolderAbsent  Code = 1507

	CommandMissing    Code = 1650 // of the active response
	CommandUnknown    Code = 1652 // agents have no such one
	ManagerAgent      Code = 1703 // not for agent 000
	AgentNameTaken    Code = 1705
	AgentAddressTaken Code = 1706 // or malformed
	AgentInactive     Code = 1707 // a command cannot be sent
	AgentIDTaken      Code = 1708
	AgentKeyShort     Code = 1709
	GroupAbsent       Code = 1710
	GroupExists       Code = 1711
	GroupDefault      Code = 1712 // not deletable
	GroupReserved     Code = 1713 // a file is in the way
	BadGroupID        Code = 1722
	BadHash           Code = 1723 // algorithm
	RegisterFailed    Code = 1725
	RegistrarAbsent   Code = 1726
	GroupFiles        Code = 1727 // listing them failed
	AgentFiltered     Code = 1731 // does not meet the filters
	NotInGroup        Code = 1734
	AgentTooOld       Code = 1735
	TooManyGroups     Code = 1737
	AgentNameLong     Code = 1738
	ActiveOnly        Code = 1740
	CheckerAbsent     Code = 1743
	OnlyDefaultGroup  Code = 1745
	AlreadyInGroup    Code = 1751
	SingleGroup       Code = 1752 // cannot be forced
	RemoveFailed      Code = 1757
	AgentVersion      Code = 1760 // of the agent is not supported

	ListFormat    Code = 1800
	ListPath      Code = 1801
	ListAbsent    Code = 1802
	ListRights    Code = 1803
	ListIsFolder  Code = 1804
	ListNameTaken Code = 1805
	ListCreate    Code = 1806
	// Upgrade plus the number that the upgrade module gives is the code of its
	// errors; their text is the extra message.
	Upgrade Code = 1810

	BadAnswer       Code = 1904 // of the daemon that checks the configuration
	UploadExists    Code = 1905
	UploadAbsent    Code = 1906
	UploadKept      Code = 1907 // cannot be deleted
	ValidationFound Code = 1908 // errors in the configuration
	NotUTF8         Code = 1911
	EmptyUpload     Code = 1912

	DatabaseQuery   Code = 2004
	DatabaseNotJSON Code = 2006

	EmptyUpdate Code = 4001
	ContentType Code = 6002
)

// lastUpgrade ends the numbers of the upgrade module.
const lastUpgrade Code = 1899
