package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
)

// registerSettings are those of `peerbus register`.
type registerSettings struct {
	clientSettings
	kind, scheme, user, guid, descriptor string
	dataSchemes, resources               []string
	expires                              time.Duration
	remove, list                         bool
}

func registerCommand() *cobra.Command {
	var s registerSettings
	c := &cobra.Command{
		Use:     "register [ADDRESS]",
		GroupID: groupClient,
		Short:   "Register a hyperty or a data object, and print its address",
		Long: `Register a hyperty or a data object in this runtime and in the domain registry,
and print its address. Without ADDRESS the Message Node allocates one. The registry
keeps it alive until it is removed.`,
		Example: `  peerbus register --user user://example.org/bob
  peerbus register hyperty://b.example/1 --remove
  peerbus register --list`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd, args) },
	}
	s.registryFlags(c)
	f := c.Flags()
	f.StringVar(&s.kind, "kind", "hyperty", "hyperty or object")
	f.StringVar(&s.scheme, "scheme", "", "scheme of an allocated address (default: hyperty, or comm for an object)")
	f.StringVar(&s.user, "user", "", "`URL` of the user it belongs to")
	f.StringVar(&s.guid, "guid", "", "global id of the user")
	f.StringVar(&s.descriptor, "descriptor", "", "`URL` of its descriptor in a catalogue")
	f.StringArrayVar(&s.dataSchemes, "data-scheme", nil, "data scheme it works with (repeatable)")
	f.StringArrayVar(&s.resources, "resources", nil, "resource it offers (repeatable)")
	f.DurationVar(&s.expires, "expires", 0, "time without a sign of life after which it is taken for disconnected (default: the registry's)")
	f.BoolVar(&s.remove, "remove", false, "unregister ADDRESS")
	f.BoolVar(&s.list, "list", false, "list what is registered in this runtime")
	return c
}

func (s *registerSettings) run(cmd *cobra.Command, args []string) error {
	url := ""
	if len(args) == 1 {
		url = args[0]
	}
	return s.withRegistry(cmd.Context(), func(ctx context.Context, r pb.RegistryClient) error {
		switch {
		case s.list:
			return s.printAll(ctx, cmd, r)
		case s.remove && url == "":
			return fault.New(fault.BadRequest, "--remove needs an address")
		case s.remove:
			_, err := r.Unregister(ctx, &pb.UnregisterRequest{Url: url})
			return err
		default:
			return s.register(ctx, cmd, r, url)
		}
	})
}

func (s *registerSettings) register(ctx context.Context, cmd *cobra.Command, r pb.RegistryClient, url string) error {
	reg := &pb.Registration{
		Url: url, DescriptorUrl: s.descriptor, User: s.user, Guid: s.guid,
		DataSchemes: s.dataSchemes, Resources: s.resources, Scheme: s.scheme,
	}
	switch s.kind {
	case "hyperty":
		reg.Kind = pb.RegistrationKind_REGISTRATION_KIND_HYPERTY
	case "object":
		reg.Kind = pb.RegistrationKind_REGISTRATION_KIND_DATA_OBJECT
	default:
		return fault.New(fault.BadRequest, "kind %q: want hyperty or object", s.kind)
	}
	if s.expires != 0 {
		reg.Expires = durationpb.New(s.expires)
	}
	resp, err := r.Register(ctx, &pb.RegisterRequest{Registration: reg})
	if err != nil {
		return err
	}
	if s.output.json() {
		return printJSON(cmd.OutOrStdout(), resp.Registration)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), resp.Registration.Url)
	return err
}

func (s *registerSettings) printAll(ctx context.Context, cmd *cobra.Command, r pb.RegistryClient) error {
	resp, err := r.ListRegistrations(ctx, &pb.ListRegistrationsRequest{})
	if err != nil {
		return err
	}
	if s.output.json() {
		return printJSON(cmd.OutOrStdout(), resp)
	}
	var rows [][]string
	for _, reg := range resp.Registrations {
		rows = append(rows, []string{reg.Url, enumName(reg.Kind.String(), "REGISTRATION_KIND_"), reg.User})
	}
	return table(cmd.OutOrStdout(), []string{"ADDRESS", "KIND", "USER"}, rows)
}
