package fault

// definition is what is fixed about a code.
type definition struct {
	class  Class
	text   string
	advice string
}

// codes is read only. Texts may hold {names}, which the extra object fills.
var codes = map[Code]definition{
	Unspecified:       {ClassInternal, "Wazuh Internal Error", ""},
	SocketMissing:     {ClassInternal, "Unable to connect with socket", "See whether the daemon that serves this socket runs."},
	SocketTalk:        {ClassInternal, "Error communicating with socket", "See whether the daemon that serves this socket runs."},
	DaemonsNotReady:   {ClassBadRequest, `Some Wazuh daemons are not ready yet in node "{node_name}" ({not_ready_daemons})`, "Start the daemons named, or wait until they are up."},
	UnknownComponent:  {ClassBadRequest, "Requested component does not exist", ""},
	SectionAbsent:     {ClassBadRequest, "Requested section not present in configuration", ""},
	OptionsFile:       {ClassInternal, "Internal options file not found", "Put etc/internal_options.conf back."},
	OptionMissing:     {ClassInternal, "Value not found in internal_options.conf", ""},
	OptionNotNumber:   {ClassInternal, "Option has no digits", ""},
	OptionRange:       {ClassInternal, "Option is not between its limits", ""},
	TemporaryUnusable: {ClassInternal, "Directory '/tmp' needs read, write and execution permission", ""},
	SocketRefused:     {ClassInternal, "Error connecting with socket", "See whether the daemon that serves this socket runs."},

	BadOffset:        {ClassBadRequest, "Invalid offset", ""},
	BadLimit:         {ClassBadRequest, "Invalid limit", ""},
	BadSortField:     {ClassBadRequest, "Not a valid sort field ", ""},
	LimitTooHigh:     {ClassBadRequest, "Specified limit exceeds maximum allowed", ""},
	LimitZero:        {ClassBadRequest, "0 is not a valid limit", ""},
	UnknownAgent:     {ClassNotFound, "Agent does not exist", ""},
	BadSelect:        {ClassBadRequest, "Not a valid select field", ""},
	BadNodeType:      {ClassBadRequest, "Invalid node type", "Node types are master and worker."},
	NodeAbsent:       {ClassNotFound, "Node does not exist", ""},
	ExecQueueMissing: {ClassInternal, "'execq' socket has not been created", ""},
	ExecQueueRefused: {ClassInternal, "Connection to 'execq' socket refused", ""},
	ProcessUnknown:   {ClassInternal, "Information on processes is not available", ""},

	DatabaseRefused:     {ClassBadRequest, "Error in wazuhdb request", ""},
	DatabaseUnreachable: {ClassInternal, "Could not connect to wdb socket", "See whether the agent database runs on this node."},
	DatabaseRead:        {ClassInternal, "Error retrieving data from Wazuh DB", ""},
	DatabaseRights:      {ClassInternal, "The database of rights is corrupt", ""},
	DatabaseTooLarge:    {ClassInternal, "The answer of the agent database is too large", ""},
	DatabaseCut:         {ClassInternal, "The answer of the agent database was cut off", ""},

	RemoteText:     {ClassCluster, "Cluster", ""},
	BundleWrite:    {ClassBadRequest, "Error creating zip file", "See whether the disk of queue/cluster is full."},
	PIDFile:        {ClassInternal, "Error creating PID file", "See who owns var/run and whether its disk is full."},
	ClusterConfig:  {ClassBadRequest, "Error in cluster configuration", "Correct the <cluster> section of etc/ossec.conf."},
	ClusterJSON:    {ClassBadRequest, "Error reading cluster JSON file", "Correct cluster.json, or remove the key named to get its default."},
	ReadConfig:     {ClassBadRequest, "Error reading cluster configuration", "Correct etc/ossec.conf."},
	KeysFromWorker: {ClassCluster, "Client.keys file received in master node", ""},
	DistributedAPI: {ClassInternal, "Error executing distributed API request", ""},
	NotRunning:     {ClassInternal, "Cluster is not running", "Start the node."},
	NotRunningAPI:  {ClassBadRequest, "Cluster is not running, it might be disabled in the configuration", "Start the node, or enable <cluster> in etc/ossec.conf."},
	Directory:      {ClassInternal, "Cannot access directory", "See who owns the directory and which mode it has."},
	ErrorResponse:  {ClassCluster, "Received an error response", ""},
	SendRequest:    {ClassCluster, "Error sending request", ""},
	MasterTool:     {ClassBadRequest, "Wazuh is running in cluster mode: {EXECUTABLE_NAME} is for the master only. Use it on the node at {MASTER_IP}", ""},

	RequestTimeout: {ClassCluster, "Timeout sending request", "The other node is overloaded or cannot be reached: see its log and the network between."},
	APITimeout:     {ClassInternal, "Timeout executing API request", ""},
	UnknownNode:    {ClassCluster, "Unknown node ID", "See which nodes are connected; the name must be written as in their <node_name>."},
	NotConnected:   {ClassCluster, "Worker node is not connected to master", "See this node's log for why the master cannot be reached."},
	CommandTooLong: {ClassCluster, "Length of command exceeds limit", ""},
	Decrypt:        {ClassCluster, "Could not decrypt message", "The <key> of the two nodes differs, or something between them alters the data."},
	SendMemory:     {ClassCluster, "Error sending request: Memory error.", ""},
	UnknownTask:    {ClassCluster, "Unknown received task name", ""},
	DuplicateName:  {ClassCluster, "Worker node ID already exists", "Two nodes have the same <node_name>, or the earlier connection of this one has not ended yet: names must be unique in a cluster."},
	SameAsMaster:   {ClassCluster, "Connected worker with same name as the master", "Give the worker a <node_name> of its own in etc/ossec.conf."},
	WrongCluster:   {ClassCluster, "Worker does not belong to the same cluster", "The <name> in the <cluster> section must be the same on the worker and on the master."},
	WrongVersion:   {ClassCluster, "Worker and master versions are not the same", "Install the same version on both, or set the version that this node presents in etc/testudo.yaml."},
	NoForwarding:   {ClassCluster, "Could not forward DAPI request. Connection not available.", ""},
	FileVanished:   {ClassCluster, "Error sending file. File not found.", ""},
	StringAbsent:   {ClassCluster, "String couldn't be found", ""},
	NotJSON:        {ClassCluster, "JSON couldn't be loaded", ""},
	Chunks:         {ClassCluster, "Error while processing Agent-info chunks", ""},
	ExtraValid:     {ClassCluster, "Error while processing extra-valid files", ""},
	ReceiveTimeout: {ClassCluster, "Timeout while waiting to receive a file", "The package took too long: see the network between the nodes, or raise timeout_receiving_file in cluster.json."},
	ReceiveFile:    {ClassCluster, "Error while waiting to receive a file", ""},

	Busy: {ClassTooMany, "Too many requests at once", "Ask again in a moment. If it stays so, see in /status which requests take long."},

	PermissionDenied: {ClassPermission, "Permission denied", ""},
}
