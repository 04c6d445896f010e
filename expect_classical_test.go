package llmc_test

import (
	"context"
	"slices"
	"strconv"
	"testing"

	"github.com/llmc-go/llmc"
)

// Texts come in and labels go out as strings.
func TestSpam(t *testing.T) {
	dir := modelDir(t, "sms-spam-tfidf")
	m := open(t, dir, llmc.Options{})
	e := expected[struct {
		PerSet      []string  `json:"per_set"`
		Probability []float64 `json:"probability"`
	}](t, dir)
	for k, want := range e.PerSet {
		out := run(t, m, inputsOf(t, m, dir, k))
		if got := out["label"].Str; !slices.Equal(got, []string{want}) {
			t.Errorf("set %d: %s, want %s", k, got, want)
		}
		near(t, "probability of spam", float64(out["probability"].F32()[0]), e.Probability[k], 1e-4)
	}
}

// checkLabels compares the labels, output number 0, of each published input.
func checkLabels(t *testing.T, m *llmc.Model, dir string, want [][]int64) {
	t.Helper()
	if len(want) == 0 {
		t.Fatal("no labels expected")
	}
	for k := range want {
		if got := labelsOf(t, m, inputsOf(t, m, dir, k)); !slices.Equal(got, want[k]) {
			t.Errorf("set %d: %v, want %v", k, got, want[k])
		}
	}
}

func labelsOf(t *testing.T, m *llmc.Model, in llmc.Tensors) []int64 {
	t.Helper()
	return runValues(t, m, in)[m.Outputs()[0].Name].Tensor.I64()
}

// runValues is run for outputs of any kind.
func runValues(t *testing.T, m *llmc.Model, in llmc.Tensors) llmc.Values {
	t.Helper()
	values := llmc.Values{}
	for name, x := range in {
		values[name] = llmc.Value{Tensor: x}
	}
	out, err := m.RunValues(context.Background(), values)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// accuracy is the part of a table's rows whose label is right.
func accuracy(t *testing.T, m *llmc.Model, table string) float64 {
	t.Helper()
	rows, want := readTable(t, table)
	x := llmc.Float32(slices.Concat(rows...), len(rows), len(rows[0]))
	right := 0
	for i, got := range labelsOf(t, m, only(m, x)) {
		if got == want[i] {
			right++
		}
	}
	return float64(right) / float64(len(rows))
}

// Gradient-boosted trees behind a scaler; one of eight is wrong.
func TestTumours(t *testing.T) {
	dir := modelDir(t, "breast-cancer-gbt")
	e := expected[struct {
		PerSet [][]int64 `json:"per_set"`
	}](t, dir)
	checkLabels(t, open(t, dir, llmc.Options{}), dir, e.PerSet)
}

// Gradient-boosted trees as tensor operations.
func TestWines(t *testing.T) {
	dir := modelDir(t, "wine-lightgbm-tensors")
	m := open(t, dir, llmc.Options{})
	e := expected[struct {
		PerSet [][]int64 `json:"per_set"`
	}](t, dir)
	checkLabels(t, m, dir, e.PerSet)
	t.Run("all", func(t *testing.T) {
		near(t, "part of the wines that is right", accuracy(t, m, beside(t, "data", "wine", "wine.csv")), 0.989, 5e-4)
	})
}

// A random forest whose second output is a sequence of maps from class to probability.
func TestFlowers(t *testing.T) {
	dir := modelDir(t, "iris-random-forest")
	m := open(t, dir, llmc.Options{})
	e := expected[struct {
		PerSet        [][]int64            `json:"per_set"`
		Probabilities []map[string]float64 `json:"probabilities"`
		Accuracy      float64              `json:"accuracy_on_iris"`
	}](t, dir)
	checkLabels(t, m, dir, e.PerSet)
	published := inputsOf(t, m, dir, 0)
	rows := runValues(t, m, published)["output_probability"].List
	for i, want := range e.Probabilities {
		if len(rows[i].List) != len(want) {
			t.Errorf("flower %d: %d classes, want %d", i, len(rows[i].List), len(want))
		}
		for k, v := range rows[i].List {
			key := strconv.FormatInt(rows[i].Keys.Int(k), 10)
			near(t, "probability of class "+key, v.Tensor.Float(0), want[key], 1e-5)
		}
	}
	if _, err := m.Run(context.Background(), published); err == nil {
		t.Error("Run gave an output that is no tensor")
	}
	t.Run("all", func(t *testing.T) {
		near(t, "part of the flowers that is right", accuracy(t, m, beside(t, "data", "iris", "iris.csv")), e.Accuracy, 5e-5)
	})
}

// Moves of Reversi: the network knows no rules, and plays legal moves.
func TestReversi(t *testing.T) {
	dir := modelDir(t, "reversi-policy")
	m := open(t, dir, llmc.Options{})
	e := expected[struct {
		PerSet []*int  `json:"per_set"`
		Top    []int   `json:"top2_set0"`
		Legal  [][]int `json:"legal_moves"`
	}](t, dir)
	best := make([]int, len(e.PerSet))
	for k, want := range e.PerSet {
		best[k] = -1
		if want != nil {
			best[k] = *want
		}
	}
	scores := checkClasses(t, m, dir, best)
	for k, p := range scores {
		if move := argmax(p); !slices.Contains(e.Legal[k], move) {
			t.Errorf("set %d: move %d, want one of %v", k, move, e.Legal[k])
		}
	}
	var likely []int
	for square, p := range scores[0] {
		if p > 0.01 {
			likely = append(likely, square)
			near(t, "probability of a mirrored move", float64(p), 0.5, 0.05)
		}
	}
	if !slices.Equal(likely, e.Top) {
		t.Errorf("first moves %v, want %v", likely, e.Top)
	}
}

// A helix and a strand of the same protein: differences of chemical shifts.
func TestProteinShifts(t *testing.T) {
	dir := modelDir(t, "protein-nmr-gnn")
	m := open(t, dir, llmc.Options{})
	e := expected[struct {
		Rows    [2]int             `json:"rows"`
		Columns []string           `json:"columns"`
		Diff    map[string]float64 `json:"mean_set0_minus_set1"`
		Signs   map[string]float64 `json:"signs"`
	}](t, dir)
	diff := map[string]float64{}
	for set, sign := range []float64{1, -1} {
		shifts := first(t, m, inputsOf(t, m, dir, set)).F32()
		for row := e.Rows[0]; row < e.Rows[1]; row++ {
			for k, atom := range e.Columns {
				diff[atom] += sign * float64(shifts[row*len(e.Columns)+k]) / float64(e.Rows[1]-e.Rows[0])
			}
		}
	}
	for atom, want := range e.Diff {
		near(t, "helix minus strand at "+atom, diff[atom], want, 1e-3)
	}
	for atom, sign := range e.Signs {
		if diff[atom]*sign <= 0 {
			t.Errorf("helix minus strand at %s: %v, want the sign of %v", atom, diff[atom], sign)
		}
	}
}
