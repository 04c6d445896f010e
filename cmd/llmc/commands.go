package main

import "github.com/spf13/cobra"

// commands are the subcommands; help lists them in the order of their names.
func (a *app) commands() []*cobra.Command {
	return []*cobra.Command{
		a.benchCommand(),
		a.checkCommand(),
		a.compileCommand(),
		a.inspectCommand(),
		a.kernelsCommand(),
		a.opsCommand(),
		a.optCommand(),
		a.passesCommand(),
		a.profileCommand(),
		a.runCommand(),
		a.testCommand(),
		a.verifyCommand(),
		a.versionCommand(),
	}
}
