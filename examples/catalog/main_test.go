package main

import (
	"bytes"
	"testing"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
)

func TestUnchangedClientsUseSavedProviders(t *testing.T) {
	gateway := portkeytest.NewGateway(t)
	gateway.SavedOnly = true
	var out bytes.Buffer
	err := ask(t.Context(), &out, portkey.Options{
		BaseURL:       gateway.URL(),
		ProviderSlugs: map[string]string{"openai": "@openai-prod", "anthropic": "@anthropic-prod"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "OpenAI: You said: Say this is a test\nAnthropic: You said: Say this is a test\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	requests := gateway.Requests()
	if len(requests) != 2 {
		t.Fatalf("got %d requests, want 2", len(requests))
	}
	for i, want := range []string{"@openai-prod", "@anthropic-prod"} {
		if got := requests[i].Provider(); got != want {
			t.Errorf("got provider %q, want %q", got, want)
		}
		for _, key := range []string{"Authorization", "X-Api-Key"} {
			if value := requests[i].Header.Get(key); value != "" {
				t.Errorf("got %s %q, want none", key, value)
			}
		}
	}
}
