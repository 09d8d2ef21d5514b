package address

// Suffixes of a data object's own addresses (wire contract, section 1).
const (
	SubscriptionSuffix = "/subscription"
	ChangesSuffix      = "/changes"
	ChildrenSuffix     = "/children/"
	StatusSuffix       = "/status"
	RegistrationSuffix = "/registration"
)

// Session is the service of a Message Node that opens and closes sessions.
const Session = "mn:/session"

// Registry of a runtime.
func Registry(runtime string) string { return runtime + "/registry" }

// RegistryChanges is the feed of what runs in a runtime.
func RegistryChanges(runtime string) string { return runtime + "/registry/changes" }

// SyncManager of a runtime.
func SyncManager(runtime string) string { return runtime + "/sm" }

// UserAgent of a runtime.
func UserAgent(runtime string) string { return runtime + "/ua" }

// Bus is the address from which a runtime's bus posts for clients that have
// none of their own.
func Bus(runtime string) string { return runtime + "/bus" }

// Handler is the p2p handler stub of a runtime.
func Handler(runtime, id string) string { return runtime + "/p2phandler/" + id }

// Requester is a p2p requester stub of a runtime.
func Requester(runtime, id string) string { return runtime + "/p2prequester/" + id }

// P2PConnectionURL is a connection that has become live.
func P2PConnectionURL(runtime, id string) string { return runtime + "/p2pconnection/" + id }

// NodeStubURL is the stub of a runtime for the Message Node of a domain. Its id is the
// domain: there is one stub per domain, and it is the same after a restart.
func NodeStubURL(runtime, domain string) string { return runtime + "/protostub/" + domain }

// Status is where a stub publishes its state.
func Status(stub string) string { return stub + StatusSuffix }

// Object is a data object.
func Object(scheme, domain, id string) string { return scheme + "://" + domain + "/" + id }

// Registration is where a domain registry publishes an entry's status.
func Registration(url string) string { return url + RegistrationSuffix }

// SubscriptionManager of a domain's Message Node.
func SubscriptionManager(domain string) string { return "domain://msg-node." + domain + "/sm" }

// AddressAllocation of a domain's Message Node.
func AddressAllocation(domain string) string {
	return "domain://msg-node." + domain + "/address-allocation"
}

// HypertyAllocation is an older name of AddressAllocation.
func HypertyAllocation(domain string) string {
	return "domain://msg-node." + domain + "/hyperty-address-allocation"
}

// ObjectAllocation is an older name of AddressAllocation.
func ObjectAllocation(domain string) string {
	return "domain://msg-node." + domain + "/object-address-allocation"
}

// DomainRegistry of a domain.
func DomainRegistry(domain string) string { return "domain://registry." + domain }
