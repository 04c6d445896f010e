package main

import "github.com/spf13/cobra"

// commands are the subcommands, in the order of their names.
func (a *app) commands() []*cobra.Command {
	return []*cobra.Command{
		a.testCommand(),
	}
}
