package portkeytest_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/portkey-go/portkey/portkeytest"
)

func TestTranslatesProviderResponses(t *testing.T) {
	t.Parallel()
	type response struct {
		status            int
		contentType, body string
	}
	const (
		chat       = "/chat/completions"
		jsonType   = "application/json"
		failure    = `{"error":{"message":"m","type":"t","param":null,"code":"c"}}`
		overloaded = `{"type":"error","error":{"type":"overloaded_error","message":"m"}}`
	)
	for _, tt := range []struct {
		name, path, provider string
		sent, want           response
	}{
		{"error", chat, "openai", response{429, jsonType, failure}, response{429, jsonType,
			`{"error":{"code":"c","message":"openai error: m","param":null,"type":"t"},"provider":"openai"}`}},
		{"error of Anthropic", "/messages", "anthropic", response{529, jsonType, overloaded}, response{529, jsonType,
			`{"error":{"code":null,"message":"anthropic error: m","param":null,"type":"overloaded_error"},` +
				`"provider":"anthropic"}`}},
		{"error of a proxied request", "/rerank", "openai",
			response{429, jsonType, failure}, response{429, jsonType, failure}},
		{"error of embeddings", "/embeddings", "openai",
			response{429, jsonType, failure}, response{429, jsonType, failure}},
		{"error in another format", chat, "openai",
			response{422, jsonType, `{"detail":"d"}`}, response{422, jsonType, `{"detail":"d"}`}},
		{"status 412", chat, "openai",
			response{412, jsonType, failure}, response{412, jsonType, failure}},
		{"HTML", chat, "openai",
			response{502, "text/html; charset=utf-8", "<p>"}, response{502, jsonType, `{"html-message":"<p>"}`}},
		{"HTML of a proxied request", "/rerank", "openai",
			response{502, "text/html", "<p>"}, response{502, "text/html", "<p>"}},
		{"invalid JSON", chat, "openai", response{200, jsonType, `{"a":`},
			response{500, jsonType, `{"status":"failure","message":"Something went wrong"}`}},
		{"JSON of another provider", chat, "groq",
			response{200, jsonType, `{"id":"c"}`}, response{200, jsonType, `{"id":"c","provider":"groq"}`}},
		{"JSON of the Responses API", "/responses", "openai",
			response{200, jsonType, `{"id":"r"}`}, response{200, jsonType, `{"id":"r","provider":"openai"}`}},
		{"JSON list", chat, "groq",
			response{200, jsonType, `[1]`}, response{200, jsonType, `[1]`}},
		{"audio", "/audio/speech", "openai",
			response{200, "audio/mpeg", "\xff\x00"}, response{200, "audio/mpeg", "\xff\x00"}},
		{"no content", chat, "openai", response{204, "", ""}, response{204, "", ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gw := portkeytest.NewGateway(t)
			gw.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Content-Type"] = nil // nil: net/http does not detect the type
				if tt.sent.contentType != "" {
					w.Header().Set("Content-Type", tt.sent.contentType)
				}
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(tt.sent.status)
				io.WriteString(w, tt.sent.body)
			}))
			resp, body := send(t, gw, "POST", tt.path, portkeyHeader("Provider", tt.provider), `{}`)
			checkEqual(t, "response", response{resp.StatusCode, resp.Header.Get("Content-Type"), body}, tt.want)
			wantProvider, wantRetryAfter := tt.provider, "7"
			if tt.name == "invalid JSON" { // a gateway exception has none of the provider's headers
				wantProvider, wantRetryAfter = "", ""
			}
			checkEqual(t, "provider", resp.Header.Get("X-Portkey-Provider"), wantProvider)
			checkEqual(t, "Retry-After", resp.Header.Get("Retry-After"), wantRetryAfter)
		})
	}
}
