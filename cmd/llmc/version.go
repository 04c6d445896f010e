package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/llmc-go/llmc/codegen/driver"
	"github.com/llmc-go/llmc/runtime/cpu"
	"github.com/llmc-go/llmc/runtime/program"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Write the version",
		Example: `  llmc version --json`,
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.version() },
	}
}

type versionInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Format   int    `json:"program_format"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Tier     string `json:"tier"`
}

func (a *app) version() error {
	v := versionInfo{Version: driver.Version, Format: program.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Tier: cpu.Host().Tier().String()}
	if b, ok := debug.ReadBuildInfo(); ok {
		for _, s := range b.Settings {
			if s.Key == "vcs.revision" {
				v.Revision = s.Value
			}
		}
	}
	if a.json {
		return a.writeJSON(v)
	}
	a.printf("llmc %s %s %s, programs of format %d, tier %s\n", v.Version, v.Go, v.Platform, v.Format, v.Tier)
	return nil
}
