package main

import (
	"encoding/json"
	"fmt"
	"html/template"
	"io"
)

// profilePicture is a page about where a model's time goes.
type profilePicture struct {
	title, dims string
	profile     *profiled
	roof        *roofline
}

func (p *profilePicture) write(w io.Writer) error {
	type bar struct {
		At   int64 `json:"at"`
		Took int64 `json:"took"`
	}
	bars := make([]bar, len(p.profile.last))
	for i, s := range p.profile.last {
		bars[i] = bar{s.at.Nanoseconds(), s.took.Nanoseconds()}
	}
	data, err := json.Marshal(map[string]any{"steps": p.profile.steps, "last": bars, "run_ns": p.profile.run, "roof": p.roof}) // escapes what could end a script
	if err != nil {
		return err
	}
	t, err := template.New("profile").Parse(profilePage)
	if err != nil {
		return err
	}
	head := fmt.Sprintf("%d steps", len(p.profile.steps))
	if p.dims != "" {
		head += " at " + p.dims
	}
	return t.Execute(w, map[string]any{"Title": p.title, "Head": fmt.Sprintf("%s, a run takes %.3f ms", head, float64(p.profile.total)/1e6), "Data": template.JS(data)})
}
