package main

import (
	"encoding/xml"
	"io"
	"os"
	"strings"
	"testing"
)

func TestPictureIsWhatTheTextSays(t *testing.T) {
	text, err := os.ReadFile("../request.txt")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../request.svg")
	if err != nil {
		t.Fatal(err)
	}
	want, err := draw(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/request.svg is not what docs/request.txt says: go run ./docs/draw")
	}
	for d := xml.NewDecoder(strings.NewReader(want)); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestPictureOfSomebodyUnknownIsRefused(t *testing.T) {
	for _, text := range []string{"a | b\na -> c: x", "a | b\nc: x"} {
		if _, err := draw(text); err == nil {
			t.Errorf("%q: got no error, want one", text)
		}
	}
}
