package main

import (
	"bytes"
	"testing"
)

func TestPromptIsRenderedSentAndRated(t *testing.T) {
	for _, name := range []string{"PORTKEY_API_KEY", "PORTKEY_BASE_URL"} {
		t.Setenv(name, "")
	}
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "You said: Ada\nfeedback: success\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
