package portkeytest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
)

// guardrailResults are the members of a response that a guardrail changes.
type guardrailResults struct {
	Error       struct{ Type string }
	Choices     []any
	HookResults struct {
		Before []hookResult `json:"before_request_hooks"`
		After  []hookResult `json:"after_request_hooks"`
	} `json:"hook_results"`
}

type hookResult struct {
	Verdict, Deny bool
	Checks        []struct{ Verdict bool }
}

// String returns the verdicts of the hooks.
func (r guardrailResults) String() string {
	var b strings.Builder
	for name, results := range map[string][]hookResult{"before": r.HookResults.Before, "after": r.HookResults.After} {
		for _, result := range results {
			b.WriteString(name)
			if result.Verdict && result.Checks[0].Verdict {
				b.WriteString(" passed")
			}
			if result.Deny {
				b.WriteString(" denied")
			}
		}
	}
	return b.String()
}

func TestFaultGuardrail(t *testing.T) {
	t.Parallel()
	const input, output = portkeytest.InputGuardrail, portkeytest.OutputGuardrail
	for _, tt := range []struct {
		name       string
		fault      portkeytest.Fault
		wantStatus int
		want       string
	}{
		{"status 446", portkeytest.Fault{Status: 446}, 446, "before denied"},
		{"status 246", portkeytest.Fault{Status: 246}, 246, "before"},
		{"input denied", portkeytest.Fault{Status: 446, Guardrail: input}, 446, "before denied"},
		{"input failed", portkeytest.Fault{Status: 246, Guardrail: input}, 246, "before"},
		{"input passed", portkeytest.Fault{Guardrail: input}, 200, "before passed"},
		{"output denied", portkeytest.Fault{Status: 446, Guardrail: output}, 446, "after denied"},
		{"output failed", portkeytest.Fault{Status: 246, Guardrail: output}, 246, "after"},
		{"output passed", portkeytest.Fault{Guardrail: output}, 200, "after passed"},
		{"input passed, error of the provider", portkeytest.Fault{Status: 503, Guardrail: input}, 503, "before passed"},
		{"output, error of the provider", portkeytest.Fault{Status: 503, Guardrail: output}, 503, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gw := portkeytest.NewGateway(t)
			gw.Next(tt.fault)
			resp, body := postChat(t, gw, portkeyHeader("Provider", "openai", "Trace-Id", "t1"), chatBody)
			checkEqual(t, "status", resp.StatusCode, tt.wantStatus)
			var got guardrailResults
			decodeJSON(t, body, &got)
			checkEqual(t, "hook results", got.String(), tt.want)
			wantChoices, wantError := 1, ""
			switch tt.wantStatus {
			case 446:
				wantChoices, wantError = 0, "hooks_failed"
			case 503:
				wantChoices, wantError = 0, "server_error"
			}
			checkEqual(t, "choices", len(got.Choices), wantChoices)
			checkEqual(t, "error type", got.Error.Type, wantError)
			checkEqual(t, "trace ID", resp.Header.Get("X-Portkey-Trace-Id"), "t1")
		})
	}
	t.Run("only an input guardrail acts before the cache", func(t *testing.T) {
		gw := portkeytest.NewGateway(t)
		for _, tt := range []struct {
			guardrail portkeytest.Guardrail
			want      portkey.CacheStatus
		}{{input, ""}, {output, portkey.CacheDisabled}} {
			gw.Next(portkeytest.Fault{Status: 446, Guardrail: tt.guardrail})
			resp, _ := postChat(t, gw, portkeyHeader("Provider", "openai"), chatBody)
			checkEqual(t, "cache status", portkey.ParseResponse(resp.Header).CacheStatus, tt.want)
		}
	})
	t.Run("an output guardrail sees the handler's response", func(t *testing.T) {
		gw := portkeytest.NewGateway(t)
		called := 0
		gw.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { called++; w.Write([]byte("{}")) }))
		gw.Next(portkeytest.Fault{Status: 446, Guardrail: output}, portkeytest.Fault{Status: 446, Guardrail: input})
		postChat(t, gw, portkeyHeader("Provider", "openai"), chatBody)
		postChat(t, gw, portkeyHeader("Provider", "openai"), chatBody)
		checkEqual(t, "calls", called, 1)
	})
	t.Run("denied, then fallback", func(t *testing.T) {
		gw := portkeytest.NewGateway(t)
		gw.Next(portkeytest.Fault{Status: 446})
		resp, _ := postChat(t, gw, portkeyHeader("Config", `{"strategy":{"mode":"fallback"},`+twoTargets+`}`), chatBody)
		checkEqual(t, "option", resp.Header.Get("X-Portkey-Last-Used-Option-Index"), "config.targets[1]")
	})
}

func TestFaultGuardrailOfAStream(t *testing.T) {
	t.Parallel()
	const (
		input, output = portkeytest.InputGuardrail, portkeytest.OutputGuardrail
		chat          = "/chat/completions"
		chatEnd       = "data: [DONE]\n\n"
		messagesEnd   = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
	)
	strict := portkeyHeader("Provider", "openai")
	notStrict := portkeyHeader("Provider", "openai", "Strict-Open-Ai-Compliance", "false")
	notStrictAnthropic := portkeyHeader("Provider", "anthropic", "Strict-Open-Ai-Compliance", "false")
	notStrictConfig := portkeyHeader("Config",
		`{"strict_open_ai_compliance":false,"strategy":{"mode":"single"},"targets":[{"provider":"openai","api_key":"k"}]}`)
	for _, tt := range []struct {
		name, path string
		header     http.Header
		fault      portkeytest.Fault
		wantStatus int
		wantFirst  string // start of the first event
		wantLast   string // end of the stream
	}{
		{"strict", chat, strict, portkeytest.Fault{Status: 246}, 246, `data: {"choices"`, chatEnd},
		{"input failed", chat, notStrict, portkeytest.Fault{Status: 246}, 246,
			`data: {"hook_results":{"before_request_hooks":[{`, chatEnd},
		{"input passed", chat, notStrict, portkeytest.Fault{Guardrail: input}, 200,
			`data: {"hook_results":{"before_request_hooks":[{`, chatEnd},
		{"strictness of a config", chat, notStrictConfig, portkeytest.Fault{Status: 246}, 246,
			`data: {"hook_results":{"before_request_hooks":[{`, chatEnd},
		{"completions", "/completions", notStrict, portkeytest.Fault{Status: 246}, 246,
			`data: {"hook_results":{"before_request_hooks":[{`, chatEnd},
		{"messages", "/messages", notStrictAnthropic, portkeytest.Fault{Status: 246}, 246,
			"event: hook_results\ndata: {\"hook_results\":{\"before_request_hooks\":[{", messagesEnd},
		{"responses", "/responses", notStrict, portkeytest.Fault{Status: 246}, 246, "event: response.created", ""},
		{"output failed", chat, notStrict, portkeytest.Fault{Status: 246, Guardrail: output}, 200,
			`data: {"choices"`, "verdict\":false}]}}\n\n"},
		{"output denied", chat, notStrict, portkeytest.Fault{Status: 446, Guardrail: output}, 200,
			`data: {"choices"`, "verdict\":false}]}}\n\n"},
		{"output passed", chat, notStrict, portkeytest.Fault{Guardrail: output}, 200,
			`data: {"choices"`, "verdict\":true}]}}\n\n"},
		{"output failed, strict", chat, strict, portkeytest.Fault{Status: 246, Guardrail: output}, 200,
			`data: {"choices"`, chatEnd},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gw := portkeytest.NewGateway(t)
			gw.Next(tt.fault)
			resp, body := send(t, gw, "POST", tt.path, tt.header, `{"stream":true}`)
			checkEqual(t, "status", resp.StatusCode, tt.wantStatus)
			if !strings.HasPrefix(body, tt.wantFirst) || !strings.HasSuffix(body, tt.wantLast) {
				t.Errorf("got %s, want %s ... %s", body, tt.wantFirst, tt.wantLast)
			}
			wantAfter := 0
			if tt.fault.Guardrail == output && tt.wantLast != chatEnd {
				wantAfter = 1
			}
			gotAfter := strings.Count(body, chatEnd+`data: {"hook_results":{"after_request_hooks":[{`)
			checkEqual(t, "events of an output guardrail", gotAfter, wantAfter)
		})
	}
}
