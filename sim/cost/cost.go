// Package cost has what one thing costs, as sim/measure has measured it. The file
// costs.json is in the repository, so that what is computed from it can be computed
// again, and is written anew by measuring on another machine.
package cost

import (
	_ "embed" // costs.json
	"encoding/json"
	"os"

	"github.com/peerbus/peerbus/internal/fault"
)

//go:embed costs.json
var measured []byte

// Costs are per one of what the field names. CPU is in microseconds of one core,
// user and system time together; memory and storage are in bytes.
type Costs struct {
	Machine Machine `json:"machine"`
	Records Records `json:"records"`
	Node    Node    `json:"node"`
	Store   Store   `json:"store"`
	Start   Start   `json:"start"`
	Runtime Runtime `json:"runtime"`
}

// Machine is where they were measured.
type Machine struct {
	CPU   string `json:"cpu"`
	Cores int    `json:"cores"`
	Go    string `json:"go"`
}

// Records are the copy of the store that a replica keeps, alone in a process: live
// heap a record, in a domain of so many of them.
type Records struct {
	Number         int     `json:"number"`
	SessionBytes   float64 `json:"sessionBytes"`
	OwnerBytes     float64 `json:"ownerBytes"`
	SubscribeBytes float64 `json:"subscribeBytes"`
	EntryBytes     float64 `json:"entryBytes"`
	// SweepCPU is what a sweep takes for each entry and hold that there is.
	SweepCPU float64 `json:"sweepCPU"`
	// ReadCPU is a look-up of one URL; SchemeCPU a search by a scheme that all
	// entries have, for each of them.
	ReadCPU   float64 `json:"readCPU"`
	SchemeCPU float64 `json:"schemeCPU"`
}

// Node is a replica of a Message Node as a process.
type Node struct {
	BaseBytes             float64 `json:"baseBytes"`
	GRPCSessionBytes      float64 `json:"grpcSessionBytes"`
	WebSocketSessionBytes float64 `json:"webSocketSessionBytes"`

	OpenCPU    float64 `json:"openCPU"`    // at the replica that is asked, its own copy included
	OpenWrites float64 `json:"openWrites"` // to the store
	// ReturnCPU is a connection that is lost and a re-open with the token.
	ReturnCPU    float64 `json:"returnCPU"`
	ReturnWrites float64 `json:"returnWrites"`
	SubscribeCPU float64 `json:"subscribeCPU"` // of one address
	// ApplyCPU is one write as a replica sees it that has not made it.
	ApplyCPU float64 `json:"applyCPU"`

	RegisterCPU float64 `json:"registerCPU"`
	RefreshCPU  float64 `json:"refreshCPU"`
	LookupCPU   float64 `json:"lookupCPU"`

	// A relayed message of MessageBytes: within a replica over either transport, and
	// between two: at the sender's replica, at the receiver's, in NATS.
	MessageBytes      int     `json:"messageBytes"`
	RelayCPU          float64 `json:"relayCPU"`
	RelayWebSocketCPU float64 `json:"relayWebSocketCPU"`
	HopOutCPU         float64 `json:"hopOutCPU"`
	HopInCPU          float64 `json:"hopInCPU"`
	HopNATSCPU        float64 `json:"hopNATSCPU"`
}

// Store is a bucket of NATS, as servers with one and with three replicas of it.
type Store struct {
	BaseBytes float64 `json:"baseBytes"`
	One       Bucket  `json:"one"`
	Three     Bucket  `json:"three"`
	// DeliverCPU is what a server takes to hand one write to one watcher.
	DeliverCPU float64 `json:"deliverCPU"`
	// Bytes on the disk of one server, and on the network of a write to a watcher.
	SessionBytes   float64 `json:"sessionBytes"`
	OwnerBytes     float64 `json:"ownerBytes"`
	SubscribeBytes float64 `json:"subscribeBytes"`
	EntryBytes     float64 `json:"entryBytes"`
	// MemoryBytes of a server for each record.
	MemoryBytes float64 `json:"memoryBytes"`
}

// Bucket is what writing one record takes, without a watcher.
type Bucket struct {
	LeaderCPU   float64 `json:"leaderCPU"`
	FollowerCPU float64 `json:"followerCPU"`
	// WritesPerSecond were reached with so many writers; the rate of a machine that
	// did other work as well.
	WritesPerSecond float64 `json:"writesPerSecond"`
	Writers         int     `json:"writers"`
}

// Start is a replica that reads back a store with so many records.
type Start struct {
	Records int     `json:"records"`
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu"`     // a record
	NATSCPU float64 `json:"natsCPU"` // a record, of the server
	Bytes   float64 `json:"bytes"`   // resident, a record
	Live    float64 `json:"live"`    // live heap, a record
}

// Runtime is one of four processes.
type Runtime struct {
	StartWrites      float64 `json:"startWrites"`      // at the Message Node, until it is at rest
	HypertyWrites    float64 `json:"hypertyWrites"`    // of each that it registers
	ConnectionWrites float64 `json:"connectionWrites"` // of a set-up, both ends together

	Connections     int     `json:"connections"` // that the p2pstub was measured with
	ConnectionBytes float64 `json:"connectionBytes"`
	ConnectionCPU   float64 `json:"connectionCPU"` // of an idle one, a second
	RegistryBytes   float64 `json:"registryBytes"` // of one address of a remote runtime
	BusBytes        float64 `json:"busBytes"`      // of one route

	// A message of MessageBytes over the data channel, at its sender's and its
	// receiver's processes together.
	MessageBytes int     `json:"messageBytes"`
	BusCPU       float64 `json:"busCPU"`
	P2PStubCPU   float64 `json:"p2pStubCPU"`
}

// Measured gives the costs that are in the repository.
func Measured() (Costs, error) { return parse("costs.json", measured) }

// Load reads a file of costs.
func Load(file string) (Costs, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return Costs{}, fault.New(fault.BadRequest, "costs: %w", err)
	}
	return parse(file, data)
}

func parse(name string, data []byte) (Costs, error) {
	var c Costs
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fault.New(fault.BadRequest, "costs in %s: %w", name, err)
	}
	return c, nil
}

// Save writes them, for Load.
func (c Costs) Save(file string) error {
	data, err := json.MarshalIndent(c, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}
