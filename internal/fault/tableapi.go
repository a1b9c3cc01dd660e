package fault

// apiCodes is read only, like codes.
var apiCodes = map[Code]definition{
	PoolUnusable:      {ClassInternal, "The process for API requests cannot be used", ""},
	PoolBroken:        {ClassInternal, "The process for API requests died", ""},
	FileUnreadable:    {ClassInternal, "Error reading file", ""},
	FileAbsent:        {ClassBadRequest, "File or directory does not exist, or may not be read", ""},
	QueueUnreachable:  {ClassInternal, "Unable to connect to queue", "See whether the daemon that reads this queue runs."},
	QueueSend:         {ClassInternal, "Error communicating with queue", "See whether the daemon that reads this queue runs."},
	QueueMessage:      {ClassBadRequest, "Invalid message to queue", ""},
	NoAgentVersion:    {ClassBadRequest, "Agent version is not known: it never connected", ""},
	BodyNotJSON:       {ClassBadRequest, "Body request is not valid JSON", ""},
	BackupFailed:      {ClassBadRequest, "Backup of the file failed", "See whether the disk is full and who owns the directory."},
	NoLogFile:         {ClassInternal, "There is no log file to read", ""},
	InvalidSection:    {ClassBadRequest, "Invalid section in configuration", ""},
	InvalidField:      {ClassBadRequest, "Invalid field in section", ""},
	InvalidFileType:   {ClassBadRequest, "Invalid type of file, or its content is not of it", ""},
	AgentFileOnly:     {ClassBadRequest, "Only agent.conf can be uploaded", ""},
	EmptyFile:         {ClassBadRequest, "Empty files are not supported", ""},
	InvalidXML:        {ClassBadRequest, "XML syntax error", ""},
	InvalidMeaning:    {ClassBadRequest, "The configuration is not accepted", ""},
	CheckerFailed:     {ClassBadRequest, "The check of the configuration failed", ""},
	ConfigUnknown:     {ClassBadRequest, "Requested component configuration does not exist", ""},
	ComponentSilent:   {ClassBadRequest, "Unable to connect to component", "See whether the daemon runs."},
	ComponentFailed:   {ClassInternal, "The component could not answer", ""},
	Experimental:      {ClassNotFound, "Experimental features are disabled", ""},
	RemoteCommand:     {ClassBadRequest, "Remote commands are not allowed in an uploaded configuration", ""},
	InvalidConfig:     {ClassBadRequest, "Invalid configuration", ""},
	ConfigWrite:       {ClassBadRequest, "Error updating configuration", ""},
	ProtectedSection:  {ClassBadRequest, "A protected section of the configuration may not change", ""},
	ConfigNotOf:       {ClassBadRequest, "The configuration does not belong to the component", ""},
	HigherVersions:    {ClassBadRequest, "Agents of higher versions may not be allowed", ""},
	BadStatus:         {ClassBadRequest, "Invalid status of rules", ""},
	BadLevel:          {ClassBadRequest, "Invalid level of rules", ""},
	BadRequirement:    {ClassBadRequest, "Requirement not valid", ""},
	RuleFileRights:    {ClassBadRequest, "The file of rules may not be read", ""},
	RuleAbsent:        {ClassBadRequest, "The rule does not exist or you do not have permission to see it", ""},
	RuleFolderUnknown: {ClassBadRequest, "The folder is not one of those with rules", ""},
	RuleFolderDefault: {ClassBadRequest, "The rules of the product may not be changed", ""},
	RuleFolderAbsent:  {ClassBadRequest, "The folder of rules does not exist", ""},
	StatsParameters:   {ClassBadRequest, "Invalid parameters for statistics", ""},
	StatsAbsent:       {ClassBadRequest, "Stats file does not exist", ""},
	StatsDamaged:      {ClassInternal, "Stats file is damaged", ""},
	NotForManager:     {ClassBadRequest, "Not available for the manager", ""},

	BadSortOrder:  {ClassBadRequest, "Invalid order of sorting", ""},
	BadQuery:      {ClassBadRequest, "Query does not match expected format", ""},
	BadQueryField: {ClassBadRequest, "The query names a field that does not exist", ""},
	BadOperator:   {ClassBadRequest, "The query has an operator that does not exist", ""},
	BadDistinct:   {ClassBadRequest, "Distinct values of these fields are not available", ""},
	BadTimeFrame:  {ClassBadRequest, "Invalid time frame", ""},
	BadDate:       {ClassBadRequest, "Invalid date", ""},
	RuleParse:     {ClassBadRequest, "Error reading file of rules", ""},
	RuleRights:    {ClassBadRequest, "No permission to read the file of rules", ""},
	RuleFile:      {ClassBadRequest, "Rules file not found", ""},

	DecoderParse:         {ClassBadRequest, "Error reading file of decoders", ""},
	DecoderRights:        {ClassBadRequest, "No permission to read the file of decoders", ""},
	DecoderFile:          {ClassBadRequest, "Decoders file not found", ""},
	DecoderAbsent:        {ClassBadRequest, "The decoder does not exist or you do not have permission to see it", ""},
	DecoderFolderUnknown: {ClassBadRequest, "The folder is not one of those with decoders", ""},
	DecoderFolderDefault: {ClassBadRequest, "The decoders of the product may not be changed", ""},
	DecoderFolderAbsent:  {ClassBadRequest, "The folder of decoders does not exist", ""},

	CommandMissing:    {ClassBadRequest, "A command is needed", ""},
	CommandUnknown:    {ClassBadRequest, "Agents have no such command", "The commands are those of etc/shared/ar.conf; one of the user's own begins with an exclamation mark."},
	ManagerAgent:      {ClassBadRequest, "Action not available for Manager (agent 000)", ""},
	AgentNameTaken:    {ClassBadRequest, "There is an agent with the same name", ""},
	AgentAddressTaken: {ClassBadRequest, "There is an agent with the same address, or the address is malformed", ""},
	AgentInactive:     {ClassBadRequest, "Cannot send request, agent is not active", ""},
	AgentIDTaken:      {ClassBadRequest, "There is an agent with the same ID", ""},
	AgentKeyShort:     {ClassBadRequest, "The agent's key is too short", "A key has 64 characters or more."},
	GroupAbsent:       {ClassNotFound, "The group does not exist", ""},
	GroupExists:       {ClassBadRequest, "The group already exists", ""},
	GroupDefault:      {ClassBadRequest, "Default group is not deletable", ""},
	GroupReserved:     {ClassBadRequest, "The name of the group is reserved", ""},
	BadGroupID:        {ClassBadRequest, "Incorrect format for group_id", ""},
	BadHash:           {ClassBadRequest, "Hash algorithm not available", ""},
	RegisterFailed:    {ClassInternal, "Error registering a new agent", ""},
	RegistrarAbsent:   {ClassBadRequest, "Wazuh authd is not running", "Start wazuh-authd on the master."},
	GroupFiles:        {ClassInternal, "Error listing the files of the group", ""},
	AgentFiltered:     {ClassBadRequest, "The agent does not meet the conditions of the request", ""},
	NotInGroup:        {ClassBadRequest, "Error removing agent from group", ""},
	AgentTooOld:       {ClassBadRequest, "The version of the agent is too old for this", ""},
	TooManyGroups:     {ClassBadRequest, "The agent is in as many groups as there may be", ""},
	AgentNameLong:     {ClassBadRequest, "The name of the agent is too long", "A name has 128 characters at most."},
	ActiveOnly:        {ClassBadRequest, "Action only available for active agents", ""},
	CheckerAbsent:     {ClassInternal, "The program that checks agents' configurations cannot be run", ""},
	OnlyDefaultGroup:  {ClassBadRequest, "Agent only belongs to 'default' and it cannot be unassigned from this group.", ""},
	AlreadyInGroup:    {ClassBadRequest, "Could not assign agent to group", ""},
	SingleGroup:       {ClassBadRequest, "The agent cannot be made a member of this group only", ""},
	RemoveFailed:      {ClassInternal, "Error deleting an agent", ""},
	AgentVersion:      {ClassBadRequest, "Not available for this version of the agent", ""},

	ListFormat:    {ClassBadRequest, "Wrong format of the list", ""},
	ListPath:      {ClassBadRequest, "Wrong path of the list", ""},
	ListAbsent:    {ClassBadRequest, "Lists file not found", ""},
	ListRights:    {ClassBadRequest, "No permission to read the list", ""},
	ListIsFolder:  {ClassBadRequest, "The list is a folder", ""},
	ListNameTaken: {ClassBadRequest, "There is a list of the same name", ""},
	ListCreate:    {ClassBadRequest, "The list could not be written", ""},

	BadAnswer:       {ClassInternal, "Bad answer of the daemon that checks the configuration", ""},
	UploadExists:    {ClassBadRequest, "The file exists already", "Ask for overwriting it."},
	UploadAbsent:    {ClassBadRequest, "The file does not exist", ""},
	UploadKept:      {ClassBadRequest, "The file could not be deleted", ""},
	ValidationFound: {ClassBadRequest, "Error validating configuration", ""},
	NotUTF8:         {ClassBadRequest, "The content is not UTF-8", ""},
	EmptyUpload:     {ClassBadRequest, "The content is empty", ""},

	DatabaseQuery:   {ClassBadRequest, "The query to the agent database is not valid", ""},
	DatabaseNotJSON: {ClassBadRequest, "The answer of the agent database is not JSON", ""},

	EmptyUpdate: {ClassBadRequest, "There is nothing to change in the request", ""},
	ContentType: {ClassNotAcceptable, "Content type not supported", ""},
}

// define gives what is fixed about a code; ok is false for one that is not listed.
func define(c Code) (d definition, ok bool) {
	if d, ok = codes[c]; ok {
		return d, true
	}
	if d, ok = apiCodes[c]; ok {
		return d, true
	}
	if c < Upgrade || c > lastUpgrade {
		return definition{}, false
	}
	d = definition{class: ClassInternal, text: "The upgrade of the agent was refused"}
	if n := c - Upgrade; n >= 9 && n <= 13 {
		d.class = ClassBadRequest // the agent is to blame, not the module
	}
	return d, true
}
