// Package ops is the operators: one file per operator or per family of rows, and the list of them all.
package ops

import (
	"sort"

	"github.com/llmc-go/llmc/ir/op"
)

// lists has one entry per file that defines operators.
func lists() [][]*op.Def {
	return [][]*op.Def{
		groups,
		sequenceDefs(), textDefs(), mlDefs(),
		unaryDefs(), binaryDefs(), selectDefs(), castDefs(), dropoutDefs(),
		viewDefs(), joinDefs(), linearDefs(), reduceDefs(), softmaxDefs(), normDefs(), attentionDefs(),
		convDefs(), poolDefs(), batchNormDefs(), quantDefs(), rnnDefs(), scatterDefs(), pickDefs(), fillDefs(), controlDefs(), resizeDefs(),
		memoryDefs(), visionDefs(), signalDefs(), randomDefs(), recurrenceDefs(), imageDefs(),
	}
}

// spellings has one entry per file with import-only spellings.
func spellings() [][]op.Source {
	return [][]op.Source{
		sequenceSpellings(), mlSpellings(),
		activationSpellings(), castSpellings(), viewSpellings(), joinSpellings(), constantSpellings(),
		linearSpellings(), reduceSpellings(),
		poolSpellings(), quantSpellings(), controlSpellings(), resizeSpellings(),
		attendSpellings(), rotarySpellings(), einsumSpellings(), blockSpellings(), normSpellings(), visionSpellings(), signalSpellings(), lossSpellings(), randomSpellings(), recurrenceSpellings(),
		microsoftSpellings(), microsoftAttentionSpellings(), microsoftQuantSpellings(), microsoftExpertSpellings(),
	}
}

// All lists every operator, sorted by name.
func All() []*op.Def {
	var l []*op.Def
	for _, d := range lists() {
		l = append(l, d...)
	}
	sort.Slice(l, func(i, j int) bool { return l[i].Name < l[j].Name })
	return l
}

// Spellings lists what importers replace by other operators, sorted by domain and name.
func Spellings() []op.Source {
	var l []op.Source
	for _, s := range spellings() {
		l = append(l, s...)
	}
	sort.SliceStable(l, func(i, j int) bool {
		if l[i].Domain != l[j].Domain {
			return l[i].Domain < l[j].Domain
		}
		return l[i].Op < l[j].Op
	})
	return l
}

// Table is the table of all operators and spellings.
func Table() (*op.Table, error) { return op.NewTable(All(), Spellings()) }
