package main

import (
	"bytes"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
)

func TestOpenAIGoGoesThroughTheGateway(t *testing.T) {
	for _, name := range []string{"PORTKEY_API_KEY", "PORTKEY_BASE_URL", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"} {
		t.Setenv(name, "")
	}
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "You said: Say this is a test\nprovider openai, same trace: true\nYou said: Say this is a test\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFailedGuardrailsAreFound(t *testing.T) {
	gateway := portkeytest.NewGateway(t)
	c, err := portkey.WrapClient(nil, portkey.Options{BaseURL: gateway.URL()})
	if err != nil {
		t.Fatal(err)
	}
	client := openai.NewClient(option.WithHTTPClient(c), option.WithAPIKey("none"))
	for _, want := range []int{0, 1} {
		if want > 0 {
			gateway.Next(portkeytest.Fault{Status: portkey.StatusGuardrailFailed})
		}
		var info portkey.ResponseInfo
		answer, err := client.Chat.Completions.New(portkey.WithResponseInfo(t.Context(), &info), openai.ChatCompletionNewParams{
			Model:    "gpt-4o-mini",
			Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hello")},
		})
		if err != nil {
			t.Fatal(err)
		}
		failed, err := failedGuardrails(answer)
		if err != nil || len(failed) != want || (info.StatusCode == portkey.StatusGuardrailFailed) != (want > 0) {
			t.Errorf("got %d failed guardrails, status %d and error %v, want %d", len(failed), info.StatusCode, err, want)
		}
	}
}
