package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

func hypertiesCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "hyperties",
		GroupID: groupClient,
		Short:   "Register, list and remove the hyperties and data objects of this runtime",
		Example: `  peerbus hyperties add --user user://example.org/bob
  peerbus hyperties add comm://b.example/1 --kind object
  peerbus hyperties list
  peerbus hyperties remove hyperty://b.example/1`,
		Args: cobra.NoArgs,
		RunE: help,
	}
	c.AddCommand(addHypertyCommand(), listHypertiesCommand(), removeHypertyCommand())
	return c
}

// hypertySettings are those of `peerbus hyperties add`.
type hypertySettings struct {
	clientSettings
	kind, scheme, user, guid, descriptor string
	dataSchemes, resources               []string
	expires                              time.Duration
}

func addHypertyCommand() *cobra.Command {
	var s hypertySettings
	c := &cobra.Command{
		Use:   "add [ADDRESS]",
		Short: "Register a hyperty or a data object, and print its address",
		Long: `Register a hyperty or a data object in this runtime and in the domain registry,
and print its address. Without ADDRESS the Message Node allocates one. The registry
keeps it alive until it is removed.`,
		Example: `  peerbus hyperties add --user user://example.org/bob
  peerbus hyperties add hyperty://example.org/thermostat --resources temperature
  peerbus hyperties add comm://example.org/1 --kind object`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.withRegistry(cmd.Context(), func(ctx context.Context, r pb.RegistryClient) error {
				return s.add(ctx, cmd, r, append(args, "")[0])
			})
		},
	}
	s.registryFlags(c)
	f := c.Flags()
	f.StringVar(&s.kind, "kind", "hyperty", "hyperty or object")
	f.StringVar(&s.scheme, "scheme", "", "`SCHEME` of an allocated address (default: hyperty; an object needs one, such as comm)")
	f.StringVar(&s.user, "user", "", "`URL` of the user it belongs to")
	f.StringVar(&s.guid, "guid", "", "global `ID` of the user")
	f.StringVar(&s.descriptor, "descriptor", "", "`URL` of its descriptor in a catalogue")
	f.StringArrayVar(&s.dataSchemes, "data-scheme", nil, "data `SCHEME` it works with (repeatable)")
	f.StringArrayVar(&s.resources, "resources", nil, "`RESOURCE` it offers (repeatable)")
	f.DurationVar(&s.expires, "expires", 0, "time without a sign of life after which it is taken for disconnected (default: the registry's)")
	complete(c, "kind", words("hyperty", "object"))
	return c
}

func (s *hypertySettings) add(ctx context.Context, cmd *cobra.Command, r pb.RegistryClient, url string) error {
	reg := &pb.Registration{
		Url: url, Kind: parseKind(s.kind), DescriptorUrl: s.descriptor, User: s.user, Guid: s.guid,
		DataSchemes: s.dataSchemes, Resources: s.resources, Scheme: s.scheme,
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

// parseKind gives a kind by its name, or one that the registry says is wrong.
func parseKind(s string) pb.RegistrationKind {
	switch s {
	case "":
		return pb.RegistrationKind_REGISTRATION_KIND_UNSPECIFIED
	case "hyperty":
		return pb.RegistrationKind_REGISTRATION_KIND_HYPERTY
	case "object":
		return pb.RegistrationKind_REGISTRATION_KIND_DATA_OBJECT
	default:
		return -1
	}
}

func listHypertiesCommand() *cobra.Command {
	var s clientSettings
	var kind string
	c := &cobra.Command{
		Use:   "list",
		Short: "List what is registered in this runtime",
		Example: `  peerbus hyperties list
  peerbus hyperties list --kind object -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			req := &pb.ListRegistrationsRequest{Kind: parseKind(kind)}
			return s.withRegistry(cmd.Context(), func(ctx context.Context, r pb.RegistryClient) error {
				return s.listHyperties(ctx, cmd, r, req)
			})
		},
	}
	s.registryFlags(c)
	c.Flags().StringVar(&kind, "kind", "", "hyperty or object (default: both)")
	complete(c, "kind", words("hyperty", "object"))
	return c
}

func (s *clientSettings) listHyperties(ctx context.Context, cmd *cobra.Command, r pb.RegistryClient, req *pb.ListRegistrationsRequest) error {
	resp, err := r.ListRegistrations(ctx, req)
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

func removeHypertyCommand() *cobra.Command {
	var s clientSettings
	c := &cobra.Command{
		Use:     "remove ADDRESS",
		Short:   "Unregister a hyperty or a data object",
		Example: "  peerbus hyperties remove hyperty://example.org/thermostat",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.withRegistry(cmd.Context(), func(ctx context.Context, r pb.RegistryClient) error {
				_, err := r.Unregister(ctx, &pb.UnregisterRequest{Url: args[0]})
				return err
			})
		},
	}
	s.registryFlags(c)
	c.ValidArgsFunction = s.asked(1, ownAddresses)
	return c
}
