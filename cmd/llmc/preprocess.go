package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llmc-go/llmc/formats/picture"
	"github.com/llmc-go/llmc/formats/wav"
)

// preprocessing says how files that hold no tensor become one.
type preprocessing struct {
	picture picture.Options
	sound   wav.Options
}

// preprocessFlags say how pictures and sounds become inputs; each flag overrides the file, which overrides the preset.
type preprocessFlags struct {
	preset, file            string
	resize, size, filter    string
	order, layout           string
	mean, std, region, fill string
	scale                   float64
	shortSide               int
	sound                   wav.Options
	changed                 func(name string) bool // nil where the command has no such flags
}

func (p *preprocessFlags) add(c *cobra.Command) {
	f := c.Flags()
	choice(c, &p.preset, "preset", "picture preprocessing: ", "imagenet", "half", "bytes", "bytes-bgr", "caffe-crop", "mnist")
	f.StringVar(&p.file, "preprocess", "", "JSON file of how pictures and sounds become inputs; default MODEL.preprocess.json, where it is there")
	choice(c, &p.resize, "resize", "", "stretch", "letterbox", "crop")
	f.StringVar(&p.size, "size", "", "size of the picture for the model, as WIDTHxHEIGHT")
	f.IntVar(&p.shortSide, "short-side", 0, "with --resize crop: resize the short side to this first")
	choice(c, &p.filter, "filter", "", "bilinear", "bicubic", "linear", "nearest")
	f.StringVar(&p.region, "crop", "", "part of the picture to use, as X,Y,WIDTH,HEIGHT")
	f.StringVar(&p.fill, "fill", "", "with --resize letterbox: colour around the picture, as 114 or 114,114,114")
	choice(c, &p.order, "order", "", "rgb", "bgr", "gray")
	choice(c, &p.layout, "layout", "", "nchw", "nhwc")
	f.Float64Var(&p.scale, "scale", 0, "values 0..255 are divided by this; default 255")
	f.StringVar(&p.mean, "mean", "", "subtracted after the division, as 0.485,0.456,0.406")
	f.StringVar(&p.std, "std", "", "divided by after that, as 0.229,0.224,0.225")
	f.IntVar(&p.sound.Rate, "rate", 0, "samples a second that a sound must have; nothing is resampled")
	f.BoolVar(&p.sound.Mono, "mono", false, "mix the channels of a sound")
	f.IntVar(&p.sound.Samples, "samples", 0, "cut a sound to this length, or fill it up with zeros")
	must(c.MarkFlagFilename("preprocess", "json"))
	p.changed = f.Changed
}

// choice adds a flag that takes one of some words.
func choice(c *cobra.Command, p *string, name, help string, words ...string) {
	last := len(words) - 1
	c.Flags().StringVar(p, name, "", help+strings.Join(words[:last], ", ")+" or "+words[last])
	must(c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)))
}

// given reports whether a flag stands on the command line.
func (p *preprocessFlags) given(name string) bool { return p.changed != nil && p.changed(name) }

// options joins preset, file and flags for a model at path.
func (p *preprocessFlags) options(model string) (preprocessing, error) {
	var o preprocessing
	if p.preset != "" {
		var ok bool
		if o.picture, ok = picture.Preset(p.preset); !ok {
			return o, usagef("--preset: %q is not known", p.preset)
		}
	}
	if file := p.file; file != "" || p.preset == "" {
		beside := file == ""
		if beside {
			file = strings.TrimSuffix(model, filepath.Ext(model)) + ".preprocess.json"
		}
		data, err := os.ReadFile(file)
		switch {
		case err == nil:
			if o, err = parsePreprocessing(data); err != nil {
				return o, fmt.Errorf("%s: %w", file, err)
			}
		case !beside || !errors.Is(err, fs.ErrNotExist):
			return o, &exitError{exitNoInput, pathError(err)}
		}
	}
	if err := p.override(&o.picture); err != nil {
		return o, err
	}
	if p.given("rate") {
		o.sound.Rate = p.sound.Rate
	}
	if p.given("mono") {
		o.sound.Mono = p.sound.Mono
	}
	if p.given("samples") {
		o.sound.Samples = p.sound.Samples
	}
	if err := errors.Join(o.picture.Validate(), o.sound.Validate()); err != nil {
		return o, &exitError{exitUsage, err}
	}
	return o, nil
}

// parsePreprocessing reads options of pictures with, beside them, those of sounds: {"order": "bgr", "sound": {"rate": 16000}}.
func parsePreprocessing(data []byte) (o preprocessing, err error) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) == nil && fields["sound"] != nil {
		if o.sound, err = wav.ParseOptions(fields["sound"]); err != nil {
			return o, err
		}
		delete(fields, "sound")
		if data, err = json.Marshal(fields); err != nil {
			return o, err
		}
	}
	o.picture, err = picture.ParseOptions(data)
	return o, err
}

func (p *preprocessFlags) override(o *picture.Options) error {
	if p.resize != "" {
		o.Resize = picture.Resize(p.resize)
	}
	if p.filter != "" {
		o.Filter = picture.Filter(p.filter)
	}
	if p.order != "" {
		o.Order = picture.Order(p.order)
	}
	if p.layout != "" {
		o.Layout = picture.Layout(p.layout)
	}
	if p.given("scale") {
		o.Scale = p.scale
	}
	if p.given("short-side") {
		o.ShortSide = p.shortSide
	}
	if p.size != "" {
		w, h, ok := strings.Cut(p.size, "x")
		if !ok {
			h = w
		}
		var err1, err2 error
		o.Width, err1 = strconv.Atoi(w)
		o.Height, err2 = strconv.Atoi(h)
		if err1 != nil || err2 != nil {
			return usagef("--size: want WIDTHxHEIGHT, got %q", p.size)
		}
	}
	for _, l := range []struct {
		flag, text string
		set        func([]float64)
		counts     [2]int
	}{
		{"mean", p.mean, func(v []float64) { o.Mean = picture.Triple(three(v)) }, [2]int{1, 3}},
		{"std", p.std, func(v []float64) { o.Std = picture.Triple(three(v)) }, [2]int{1, 3}},
		{"fill", p.fill, func(v []float64) {
			for i, x := range three(v) {
				o.Fill[i] = int(x)
			}
		}, [2]int{1, 3}},
		{"crop", p.region, func(v []float64) {
			for i, x := range v {
				o.Region[i] = int(x)
			}
		}, [2]int{4, 4}},
	} {
		if l.text == "" {
			continue
		}
		v, err := numbers(l.text)
		if err != nil || len(v) != l.counts[0] && len(v) != l.counts[1] {
			return usagef("--%s: want %d numbers, got %q", l.flag, l.counts[1], l.text)
		}
		l.set(v)
	}
	return nil
}

func three(v []float64) [3]float64 {
	if len(v) == 1 {
		return [3]float64{v[0], v[0], v[0]}
	}
	return [3]float64(v)
}

func numbers(s string) ([]float64, error) {
	var l []float64
	for _, t := range strings.Split(s, ",") {
		v, err := strconv.ParseFloat(strings.TrimSpace(t), 64)
		if err != nil {
			return nil, err
		}
		l = append(l, v)
	}
	return l, nil
}
