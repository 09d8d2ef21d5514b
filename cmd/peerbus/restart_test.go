package main

import (
	"testing"

	"google.golang.org/grpc"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/local"
)

// Each process can be stopped and started alone, after which the others go on
// by themselves: messages come through again, and the connection is live again.
func TestEachProcessRestartsAlone(t *testing.T) {
	t.Parallel()
	p := newPair(t, local.Separate, local.AllInOne)
	post(t, p.alice, pingOf(p.aliceURL, p.bobURL, -1))
	waitConnection(t, p.alice, p.bob.URL, live)
	for _, mode := range []string{"registry", "bus", "p2pstub", "nodestub", "msgnode"} {
		for how, stop := range map[string]func(*local.Process) error{
			"stopped": (*local.Process).Stop,
			"killed":  func(p *local.Process) error { p.Kill(); return nil },
		} {
			t.Run(mode+" "+how, func(t *testing.T) {
				process := p.alice.Processes[mode]
				if mode == "msgnode" {
					process = p.node.Process
				}
				if err := stop(process); err != nil {
					t.Fatal(err)
				}
				again, err := p.system.Restart(process)
				if err != nil {
					t.Fatal(err)
				}
				if mode == "msgnode" {
					p.node.Process = again
				} else {
					p.alice.Processes[mode] = again
				}
				if err := p.alice.Ready(testContext(t)); err != nil {
					t.Fatal(err)
				}
				p.reaches(t)
				waitConnection(t, p.alice, p.bob.URL, live)
			})
		}
	}
}

// reaches posts until a message comes: what is under way when a process ends
// may be lost, and is answered with an error.
func (p *pair) reaches(t *testing.T) {
	t.Helper()
	stream, err := pb.NewMessageBusClient(p.bob.Bus).Listen(testContext(t), &pb.ListenRequest{Addresses: []string{p.bobURL}})
	if err != nil {
		t.Fatal(err)
	}
	came := make(chan error, 1)
	go func() {
		_, err := stream.Recv()
		came <- err
	}()
	for ctx := testContext(t); ; {
		_, err := pb.NewMessageBusClient(p.alice.Bus).Post(ctx, &pb.PostRequest{
			Message: pingOf(p.aliceURL, p.bobURL, 1), Wait: pb.Wait_WAIT_ACCEPTED,
		})
		select {
		case received := <-came:
			if received != nil {
				t.Fatal(received)
			}
			return
		default:
		}
		if !pause(ctx) {
			t.Fatalf("no message comes; the last one: %v", err)
		}
	}
}

// The services start in any order, and wait for each other.
func TestAnyOrderOfStart(t *testing.T) {
	t.Parallel()
	p := newPair(t, local.Separate, local.AllInOne)
	for _, process := range p.alice.Processes {
		if err := process.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.node.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"p2pstub", "nodestub", "bus", "registry"} {
		if _, err := p.system.Restart(p.alice.Processes[mode]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.system.Restart(p.node.Process); err != nil {
		t.Fatal(err)
	}
	if err := p.alice.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	p.reaches(t)
}

// A restarted registry has its handler's address, its registrations and its
// table back.
func TestTheRegistryReadsBackWhatItHad(t *testing.T) {
	t.Parallel()
	p := newPair(t, local.Separate, local.AllInOne)
	post(t, p.alice, pingOf(p.aliceURL, p.bobURL, -1))
	before := waitConnection(t, p.alice, p.bob.URL, live)
	about := func() (*pb.GetRuntimeResponse, *pb.ListRegistrationsResponse) {
		r := pb.NewRegistryClient(p.alice.Registry)
		runtime, err := r.GetRuntime(testContext(t), &pb.GetRuntimeRequest{}, grpc.WaitForReady(true))
		if err != nil {
			t.Fatal(err)
		}
		all, err := r.ListRegistrations(testContext(t), &pb.ListRegistrationsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return runtime, all
	}
	runtime, registrations := about()
	p.alice.Processes["registry"].Kill()
	if _, err := p.system.Restart(p.alice.Processes["registry"]); err != nil {
		t.Fatal(err)
	}
	if err := p.alice.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	runtimeAfter, registrationsAfter := about()
	if runtimeAfter.P2PHandlerUrl != runtime.P2PHandlerUrl {
		t.Errorf("the handler was %s and is %s", runtime.P2PHandlerUrl, runtimeAfter.P2PHandlerUrl)
	}
	if len(registrationsAfter.Registrations) != 1 || registrationsAfter.Registrations[0].Url != registrations.Registrations[0].Url {
		t.Errorf("registered was %v and is %v", registrations, registrationsAfter)
	}
	after := waitConnection(t, p.alice, p.bob.URL, live)
	if after.Id != before.Id {
		t.Errorf("the connection was %s and is %s, though p2pstub kept it", before.Id, after.Id)
	}
}
