package portkeytest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/portkey-go/portkey/portkeytest"
)

// A received is what a handler sees of a request.
type received struct{ provider, body string }

// receive sends a request and returns what the handler received, with the members of a JSON body in order.
func receive(t *testing.T, gw *portkeytest.Gateway, path string, header http.Header, body string) received {
	t.Helper()
	var got received
	gw.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = received{r.Header.Get("X-Portkey-Provider"), string(b)}
		io.WriteString(w, `{}`)
	}))
	resp, respBody := send(t, gw, "POST", path, header, body)
	if resp.StatusCode != 200 {
		t.Fatalf("got %d %s, want 200", resp.StatusCode, respBody)
	}
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(got.body), &members) == nil {
		sorted, _ := json.Marshal(members)
		got.body = string(sorted)
	}
	return got
}

func TestConfigChangesTheParametersThatTheHandlerReceives(t *testing.T) {
	t.Parallel()
	const (
		body   = `{"model":"m1","n":12345678901234567890,"stop":["a"]}`
		target = `"provider":"openai","api_key":"k"`
	)
	withParams := func(members string) string { return `{"retry":{"attempts":1},` + members + `}` }
	for _, tt := range []struct{ name, path, config, body, want string }{
		{"no change", "/chat/completions", withParams(`"override_params":{}`), body, body},
		{"override", "/chat/completions", withParams(`"override_params":{"model":"m2","stop":null,"user":{"a":1}}`), body,
			`{"model":"m2","n":12345678901234567890,"stop":null,"user":{"a":1}}`},
		{"override on a proxied endpoint", "/rerank", withParams(`"override_params":{"model":"m2"}`), body,
			`{"model":"m2","n":12345678901234567890,"stop":["a"]}`},
		{"override that is not an object", "/chat/completions", withParams(`"override_params":"x"`), body, body},
		{"override of a body that is not an object", "/chat/completions", withParams(`"override_params":{"a":1}`),
			`[1]`, `[1]`},
		{"default", "/chat/completions", withParams(`"default_params":{"model":"m2","user":"u"}`), body,
			`{"model":"m1","n":12345678901234567890,"stop":["a"],"user":"u"}`},
		{"drop", "/chat/completions", withParams(`"drop_params":["stop","n","other"]`), body, `{"model":"m1"}`},
		{"drop, default, override", "/chat/completions", withParams(
			`"drop_params":["n","stop"],"default_params":{"n":1,"stop":"b"},"override_params":{"stop":"c"}`), body,
			`{"model":"m1","n":1,"stop":"c"}`},
		{"target", "/chat/completions", `{"strategy":{"mode":"single"},"targets":[{` + target +
			`,"override_params":{"model":"m2"}}]}`, `{"model":"m1"}`, `{"model":"m2"}`},
		{"target that inherits", "/chat/completions", `{"override_params":{"model":"m2","a":1},"default_params":{"b":2},` +
			`"drop_params":["n"],"strategy":{"mode":"single"},"targets":[{` + target +
			`,"override_params":{"model":"m3"},"default_params":{"c":3},"drop_params":["stop"]}]}`, body,
			`{"a":1,"b":2,"c":3,"model":"m3"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			header := portkeyHeader("Config", tt.config)
			if !strings.Contains(tt.config, `"provider"`) {
				header.Set("X-Portkey-Provider", "openai")
			}
			got := receive(t, portkeytest.NewGateway(t), tt.path, header, tt.body)
			checkEqual(t, "received", got, received{"openai", tt.want})
		})
	}
}

func TestOverrideParamsDecideWhetherAResponseIsAStream(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, override, body, contentType string }{
		{"stream", `{"stream":true}`, `{}`, "text/event-stream"},
		{"no stream", `{"stream":false}`, `{"stream":true}`, "application/json"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gw := portkeytest.NewGateway(t)
			config := `{"provider":"openai","api_key":"k","override_params":` + tt.override + `}`
			resp, _ := postChat(t, gw, portkeyHeader("Config", config), tt.body)
			checkEqual(t, "content type", resp.Header.Get("Content-Type"), tt.contentType)
		})
	}
}

func TestConditionsSeeTheParametersThatTheClientSent(t *testing.T) {
	t.Parallel()
	config := strings.Replace(conditionalConfig(`{"params.model":"m1"}`), "{", `{"override_params":{"model":"m2"},`, 1)
	got := sendWithConfig(t, config, `{}`)
	checkEqual(t, "option", got.option, "config.targets[1]")
}

func TestSavedModelNamesTheProvider(t *testing.T) {
	t.Parallel()
	const chat = "/chat/completions"
	form := "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n@openai-prod/whisper-1\r\n--b--\r\n"
	formHeader := http.Header{"Content-Type": {"multipart/form-data; boundary=b"}}
	for _, tt := range []struct {
		name, path string
		header     http.Header
		body       string
		want       received
	}{
		{"chat completions", chat, portkeyHeader(), `{"model":"@openai-prod/gpt-4o"}`,
			received{"@openai-prod", `{"model":"gpt-4o"}`}},
		{"messages", "/messages", portkeyHeader(), `{"model":"@claude/a/b"}`,
			received{"@claude", `{"model":"a/b"}`}},
		{"proxied endpoint", "/rerank", portkeyHeader(), `{"model":"@cohere/rerank"}`,
			received{"@cohere", `{"model":"rerank"}`}},
		{"form", "/audio/transcriptions", formHeader, form, received{"@openai-prod", form}},
		{"config without a provider", chat, portkeyHeader("Config", `{"retry":{"attempts":1}}`),
			`{"model":"@openai-prod/gpt-4o"}`, received{"@openai-prod", `{"model":"gpt-4o"}`}},
		{"override_params", chat, portkeyHeader("Config", `{"override_params":{"model":"@openai-prod/gpt-4o"}}`),
			`{"model":"m1"}`, received{"@openai-prod", `{"model":"gpt-4o"}`}},
		{"override_params of a target", chat, portkeyHeader("Provider", "groq", "Config",
			`{"strategy":{"mode":"single"},"targets":[{"override_params":{"model":"@openai-prod/gpt-4o"}}]}`),
			`{"model":"m1"}`, received{"@openai-prod", `{"model":"gpt-4o"}`}},
		{"the provider header takes precedence", chat, portkeyHeader("Provider", "@workers-ai"),
			`{"model":"@cf/meta/llama"}`, received{"@workers-ai", `{"model":"@cf/meta/llama"}`}},
		{"the provider of a config takes precedence", chat, portkeyHeader("Config", `{"provider":"@workers-ai"}`),
			`{"model":"@cf/meta/llama"}`, received{"@workers-ai", `{"model":"@cf/meta/llama"}`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := receive(t, portkeytest.NewGateway(t), tt.path, tt.header, tt.body)
			checkEqual(t, "received", got, tt.want)
		})
	}
	for _, model := range []string{`"gpt-4o"`, `"@openai-prod"`, `"@/gpt-4o"`, `"@openai-prod/"`, `"openai/gpt-4o"`, `5`} {
		t.Run("not a saved model: "+model, func(t *testing.T) {
			t.Parallel()
			resp, _ := postChat(t, portkeytest.NewGateway(t), portkeyHeader(), `{"model":`+model+`}`)
			checkEqual(t, "status", resp.StatusCode, 400)
		})
	}
}
