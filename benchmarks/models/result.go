package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/llmc-go/llmc/benchmarks/internal/section"
	"github.com/llmc-go/llmc/formats/atomicfile"
)

// result is a stored file: one model.
type result struct {
	Model string `json:"model"`
	Date  string `json:"date"`
	machine
	Command string `json:"command"`
	Error   string `json:"error,omitempty"` // why there are no rows
	Rows    []row  `json:"rows"`
}

// row is one engine with one number of threads, as the harness writes it.
type row struct {
	Engine        string    `json:"engine"`
	Version       string    `json:"version"`
	Threads       int       `json:"threads"`
	Error         string    `json:"error,omitempty"`
	MedianNs      float64   `json:"median_ns"`
	MinNs         float64   `json:"min_ns"`
	P90Ns         float64   `json:"p90_ns"`
	Runs          int       `json:"runs"`
	Rounds        int       `json:"rounds"`
	Sets          int       `json:"sets"`
	LoudRounds    int       `json:"loud_rounds"`
	Loud          bool      `json:"loud"` // others used the machine in so many turns that these had to be counted
	LoadS         float64   `json:"load_s"`
	PeakMB        float64   `json:"peak_mb"`
	MaxAbs        *float64  `json:"max_abs"`
	MaxRel        *float64  `json:"max_rel"`
	Check         string    `json:"check"`
	RoundMedians  []float64 `json:"round_medians"`
	Speedup       float64   `json:"speedup,omitempty"` // ONNX Runtime's time over this engine's
	SpeedupMin    float64   `json:"speedup_min,omitempty"`
	SpeedupPaired float64   `json:"speedup_paired,omitempty"`
}

// write stores the result under the model's name.
func (r *result) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(filepath.Join(dir, strings.ReplaceAll(r.Model, "/", "-case")+".json"), append(b, '\n'))
}

// readResults reads all that is stored, by the models' names.
func readResults(dir string) ([]*result, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var l []*result
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		r := &result{}
		if err := json.Unmarshal(b, r); err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		l = append(l, r)
	}
	slices.SortFunc(l, func(a, b *result) int { return cmp.Compare(a.Model, b.Model) })
	return l, nil
}

// writeTables puts the tables of what is stored into the README's text.
func writeTables(text, results string) (string, error) {
	for _, t := range []struct {
		name, dir string
		table     func([]*result) string
	}{{"measured", results, table}, {"purego", filepath.Join(results, "purego"), pureTable}} {
		list, err := readResults(t.dir)
		if err != nil {
			return "", err
		}
		if text, err = section.Replace(text, t.name, "\n"+t.table(list)+"\n"); err != nil {
			return "", err
		}
	}
	return text, nil
}

// table has a row for every model and number of threads, the lost and the broken ones too, and a line for each place where
// rows were measured.
func table(list []*result) string {
	if len(list) == 0 {
		return "Nothing is measured yet.\n"
	}
	var b, notes strings.Builder
	b.WriteString("| model | threads | llmc, ms | ONNX Runtime, ms | ratio of medians, of minima, in pairs | largest relative error |\n| --- | --- | --- | --- | --- | --- |\n")
	told := map[string]bool{}
	for _, r := range list {
		if r.Error != "" || len(r.Rows) == 0 {
			fmt.Fprintf(&b, "| %s | | not measured: %s | | | |\n", r.Model, cell(cmp.Or(r.Error, "the harness gave no rows")))
			continue
		}
		for _, ours := range r.Rows {
			switch ours.Engine {
			case "ours":
				b.WriteString(line(r.Model, r, ours))
			case statesEngine:
				b.WriteString(line(r.Model+", caches as states", r, ours))
			}
		}
		note := r.where(cmp.Or(versionOf(r.Rows), "no other engine"))
		if !told[note] {
			told[note] = true
			fmt.Fprintf(&notes, "\nMeasured on %s.", note)
		}
	}
	return b.String() + notes.String() + "\n"
}

// where says where and against which engines a result was measured.
func (r *result) where(engines string) string {
	return fmt.Sprintf("%s, %d processors, %s, commit %s, %s, %s", r.CPU, r.Cores, r.Date, r.Commit, r.Go, engines)
}

// versionOf is ONNX Runtime's name and version.
func versionOf(rows []row) string {
	for _, r := range rows {
		if r.Engine == "ort" && r.Version != "" {
			return r.Version
		}
	}
	return ""
}

func line(model string, r *result, ours row) string {
	ort := "-"
	for _, x := range r.Rows {
		if x.Engine != "ort" || x.Threads != ours.Threads {
			continue
		}
		if ort = ms(x); x.Error != "" {
			ort = cell("failed: " + x.Error)
		}
	}
	if ours.Error != "" {
		return fmt.Sprintf("| %s | %d | %s | %s | | |\n", model, ours.Threads, cell("failed: "+ours.Error), ort)
	}
	ratio := "-"
	if ours.Speedup > 0 {
		ratio = fmt.Sprintf("%.2f, %.2f, %.2f", ours.Speedup, ours.SpeedupMin, ours.SpeedupPaired)
	}
	return fmt.Sprintf("| %s | %d | %s | %s | %s | %s |\n", model, ours.Threads, ms(ours), ort, ratio, relative(ours))
}

// relative is the largest relative error, or why there is none.
func relative(r row) string {
	if r.MaxRel != nil {
		return fmt.Sprintf("%.1e", *r.MaxRel)
	}
	return cell(cmp.Or(r.Check, "-"))
}

// ms is the median; with ! where the machine was not quiet.
func ms(r row) string {
	loud := ""
	if r.Loud {
		loud = "!"
	}
	return fmt.Sprintf("%.3g%s", r.MedianNs/1e6, loud)
}

// cell makes a text fit into one cell.
func cell(s string) string {
	s = strings.NewReplacer("|", "/", "\n", " ").Replace(s)
	if r := []rune(s); len(r) > 100 {
		s = string(r[:97]) + "..."
	}
	return s
}
