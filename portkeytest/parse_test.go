package portkeytest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/portkey-go/portkey/portkeytest"
)

func TestRejectsInvalidRequests(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	gw.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s: reached the handler", r.Method, r.URL)
	}))
	gw.Next(portkeytest.Fault{Exception: "first fault"})

	failure := func(message string) string { return `{"status":"failure","message":"` + message + `"}` }
	openai := portkeyHeader("Provider", "openai")
	plainText := portkeyHeader("Provider", "openai")
	plainText.Set("Content-Type", "text/plain")
	const invalidConfig = `{"strategy":{"mode":"best"},"targets":[{"provider":"nope","api_key":"k"},` +
		`{"provider":"openai","api_key":"k","custom_host":"http://10.0.0.1"}]}`
	const notFound = `{"message":"Not Found","ok":false}`

	for _, tt := range []struct {
		name, method, path string
		header             http.Header
		body               string
		wantStatus         int
		wantBody           string // a prefix; "" means that the body is empty
		wantException      bool
	}{
		{"neither provider nor config", "POST", "/chat/completions", nil, chatBody,
			400, failure("Either x-portkey-config or x-portkey-provider header is required"), false},
		{"unknown provider", "POST", "/chat/completions", portkeyHeader("Provider", "OpenAI"), chatBody,
			400, failure("Invalid provider passed"), false},
		{"invalid content type", "POST", "/chat/completions", plainText, chatBody,
			400, failure("Invalid content type passed"), false},
		{"private custom host", "GET", "/models",
			portkeyHeader("Provider", "openai", "Custom-Host", "http://192.168.0.1/v1"), "",
			400, failure("Invalid custom host"), false},
		{"config that is not JSON", "POST", "/chat/completions", portkeyHeader("Config", `{"provider"`), chatBody,
			400, failure("Invalid config passed. You need to pass a valid json"), false},
		{"config without a provider", "POST", "/chat/completions",
			portkeyHeader("Config", `{"retry":{"attempts":1}}`), chatBody,
			400, failure("Either x-portkey-provider needs to be passed. " +
				"Or the x-portkey-config header should have a valid config with provider details in it."), false},
		{"invalid config", "POST", "/chat/completions", portkeyHeader("Config", invalidConfig), chatBody,
			400, `{"status":"failure","message":"Invalid config passed","errors":[` +
				`"path: strategy,mode, message: must be one of single, loadbalance, fallback, conditional",` +
				`"path: targets,0,provider, message: Invalid 'provider' value. Must be one of: anthropic,`, false},
		{"config in the old format", "POST", "/chat/completions",
			portkeyHeader("Config", `{"provider":"openai","api_key":"k","options":[1]}`), chatBody,
			400, failure("This version of config is not supported in this route. " +
				"Please migrate to the latest version"), false},
		{"invalid JSON", "POST", "/chat/completions", openai, `{`,
			500, failure("Something went wrong"), false},
		{"invalid JSON of a proxied request", "POST", "/rerank", openai, ``,
			500, `{"status":"failure","message":"Proxy error: `, false},
		{"endpoint that the provider does not support", "POST", "/embeddings", portkeyHeader("Provider", "groq"), `{}`,
			500, failure("embed is not supported by groq"), true},
		{"provider that the gateway does not implement", "GET", "/models", portkeyHeader("Provider", "cortex"), "",
			500, failure("Provider cortex not found"), true},
		{"method", "PUT", "/models", openai, `{}`, 404, notFound, false},
		{"WebSocket", "GET", "/realtime", openai, "", 404, notFound, false},
		{"headers of 16 KiB", "GET", "/models",
			portkeyHeader("Provider", "openai", "Metadata", strings.Repeat("a", 16<<10)), "", 431, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := send(t, gw, tt.method, tt.path, tt.header, tt.body)
			checkEqual(t, "status", resp.StatusCode, tt.wantStatus)
			if !strings.HasPrefix(body, tt.wantBody) || tt.wantBody == "" && body != "" {
				t.Errorf("body: got %s, want the prefix %s", body, tt.wantBody)
			}
			isException := resp.Header.Get("X-Portkey-Gateway-Exception") == "true"
			checkEqual(t, "gateway exception", isException, tt.wantException)
			for key := range resp.Header {
				if strings.HasPrefix(key, "X-Portkey-") && key != "X-Portkey-Gateway-Exception" {
					t.Errorf("got header %s, want no other x-portkey header", key)
				}
			}
		})
	}

	t.Run("a rejected request uses up no fault", func(t *testing.T) {
		_, body := postChat(t, gw, openai, chatBody)
		checkEqual(t, "body", body, failure("first fault"))
	})
}

func TestPathsOutsideTheBaseURL(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	for _, tt := range []struct {
		path       string
		wantStatus int
		wantBody   string
	}{
		{"/", http.StatusOK, "AI Gateway says hey!"},
		{"/chat/completions", http.StatusNotFound, `{"message":"Not Found","ok":false}`},
		{"/models", http.StatusNotFound, `{"message":"Not Found","ok":false}`},
	} {
		t.Run(tt.path, func(t *testing.T) {
			resp, err := httpClient.Get(strings.TrimSuffix(gw.URL(), "/v1") + tt.path)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			checkEqual(t, "status", resp.StatusCode, tt.wantStatus)
			checkEqual(t, "body", string(body), tt.wantBody)
		})
	}
}

func TestRejectsBodiesOver32MiB(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	resp, body := send(t, gw, "POST", "/files", portkeyHeader("Provider", "openai"), strings.Repeat("a", 32<<20+1))
	checkEqual(t, "status", resp.StatusCode, http.StatusRequestEntityTooLarge)
	checkContains(t, "body", body, "33554432 bytes")
	checkEqual(t, "requests", len(gw.Requests()), 0)
}

func TestAcceptsVirtualKeysAndSlugs(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	const chat = "/chat/completions"
	for _, tt := range []struct {
		name, path   string
		header       http.Header
		wantProvider string
	}{
		{"pc- config slug", chat, portkeyHeader("Config", "pc-1"), "openai"},
		{"cf- config slug and a provider", chat, portkeyHeader("Config", "cf-1", "Provider", "groq"), "groq"},
		{"virtual key", chat, portkeyHeader("Virtual-Key", "vk"), "openai"},
		{"virtual key, Messages API", "/messages", portkeyHeader("Virtual-Key", "vk"), "anthropic"},
		{"provider slug", "/messages", portkeyHeader("Provider", "@claude"), "@claude"},
		{"saved prompt", "/prompts/pp-1/completions", portkeyHeader("Provider", "openai"), "openai"},
		{"provider slug in a config", chat, portkeyHeader("Config",
			`{"strategy":{"mode":"fallback"},"targets":[{"provider":"@one"},{"virtual_key":"vk"}]}`), "@one"},
		{"virtual key in a config", chat, portkeyHeader("Config", `{"virtual_key":"vk"}`), "openai"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := send(t, gw, "POST", tt.path, tt.header, chatBody)
			checkEqual(t, "status", resp.StatusCode, 200)
			checkEqual(t, "provider", resp.Header.Get("X-Portkey-Provider"), tt.wantProvider)
			checkContains(t, "body", body, "You said: hi")
		})
	}
}
