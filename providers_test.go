package portkey_test

import (
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/portkey-go/portkey"
)

// That the gateway then calls the URL that the client asked for, is seen in
// interop/, for every provider.

func TestProvidersURLGoesToTheGateway(t *testing.T) {
	t.Parallel()
	tests := []struct{ url, uri, provider string }{
		// Clients and the gateway have the same base URL.
		{"https://api.groq.com/openai/v1/chat/completions", "/v1/chat/completions", "groq"},
		{"https://api.groq.com/openai/v1/models?a=b%20c&a=d", "/v1/models?a=b%20c&a=d", "groq"},
		{"https://api.anthropic.com/v1/messages?beta=true", "/v1/messages?beta=true", "anthropic"},
		{"https://api.anthropic.com/v1/messages/batches", "/v1/messages/batches", "anthropic"},
		{"https://api.perplexity.ai/chat/completions", "/v1/chat/completions", "perplexity-ai"},
		// Clients have something more in front, which the gateway knows for unified endpoints.
		{"https://api.together.xyz/v1/chat/completions", "/v1/chat/completions", "together-ai"},
		{"https://api.together.xyz/v1/embeddings", "/v1/embeddings", "together-ai"},
		{"https://api.together.xyz/v1/models", "/v1/v1/models", "together-ai"},
		{"https://api.together.xyz/v1/files/f%2F1", "/v1/v1/files/f%2F1", "together-ai"},
		{"https://openrouter.ai/api/v1/chat/completions", "/v1/chat/completions", "openrouter"},
		{"https://openrouter.ai/api/v1/credits", "/v1/v1/credits", "openrouter"},
		// One host, several base URLs: the longest that fits.
		{"https://api.deepseek.com/chat/completions", "/v1/chat/completions", "deepseek"},
		{"https://api.deepseek.com/v1/chat/completions", "/v1/chat/completions", "deepseek"},
		{"https://api.deepseek.com/user/balance", "/v1/user/balance", "deepseek"},
		{"https://generativelanguage.googleapis.com/v1beta/openai/chat/completions", "/v1/chat/completions", "google"},
		{"https://generativelanguage.googleapis.com/v1beta/openai/models", "/v1/v1beta/openai/models", "google"},
		{"https://generativelanguage.googleapis.com/v1beta/models/m:streamGenerateContent?alt=sse", "/v1/v1beta/models/m:streamGenerateContent?alt=sse", "google"},
		{"https://api.cohere.ai/compatibility/v1/embeddings", "/v1/embeddings", "cohere"},
		{"https://api.cohere.ai/v2/rerank", "/v1/v2/rerank", "cohere"},
	}
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{NewTraceID: noTrace})
	for _, tt := range tests {
		do(t, c, newRequest(t, t.Context(), "POST", tt.url, "{}"))
		got := s.last(t)
		if got.uri != tt.uri {
			t.Errorf("%s: got %s, want %s", tt.url, got.uri, tt.uri)
		}
		if h, want := got.portkeyHeaders(), (http.Header{"X-Portkey-Provider": {tt.provider}}); !reflect.DeepEqual(h, want) {
			t.Errorf("%s: got %v, want %v", tt.url, h, want)
		}
		if want := strings.TrimPrefix(s.URL, "http://"); got.host != want {
			t.Errorf("%s: got Host %s, want %s", tt.url, got.host, want)
		}
	}
}

func TestProvidersURLSaysWhatTheGatewayNeeds(t *testing.T) {
	t.Parallel()
	azure := "https://my-res.openai.azure.com/openai"
	workers := "https://api.cloudflare.com/client/v4/accounts/0a1b/ai"
	azureHeaders := func(deployment, version string) http.Header {
		h := http.Header{"X-Portkey-Provider": {"azure-openai"}, "X-Portkey-Azure-Resource-Name": {"my-res"}}
		if deployment != "" {
			h.Set("X-Portkey-Azure-Deployment-Id", deployment)
		}
		if version != "" {
			h.Set("X-Portkey-Azure-Api-Version", version)
		}
		return h
	}
	tests := []struct {
		url, uri string
		want     http.Header
	}{
		{azure + "/deployments/gpt-3.5_x/chat/completions?api-version=2024-06-01", "/v1/chat/completions?api-version=2024-06-01", azureHeaders("gpt-3.5_x", "2024-06-01")},
		{azure + "/deployments/dep/embeddings?x=1&api-version=2024-06-01", "/v1/embeddings?x=1&api-version=2024-06-01", azureHeaders("dep", "2024-06-01")},
		{azure + "/deployments/dep/audio/speech?api-version=2024-06-01", "/v1/deployments/dep/audio/speech?api-version=2024-06-01", azureHeaders("dep", "")},
		{azure + "/deployments/dep/extensions/x?api-version=2024-06-01", "/v1/deployments/dep/extensions/x?api-version=2024-06-01", azureHeaders("dep", "")},
		{azure + "/deployments/dep/chat/completions?api-version=%0d%0aX:y", "/v1/chat/completions?api-version=%0d%0aX:y", azureHeaders("dep", "")},
		{azure + "/deployments/dep/chat/completions", "/v1/chat/completions", azureHeaders("dep", "")},
		{azure + "/responses?api-version=2025-03-01-preview", "/v1/responses?api-version=2025-03-01-preview", azureHeaders("", "2025-03-01-preview")},
		{azure + "/models?api-version=2024-06-01", "/v1/models?api-version=2024-06-01", azureHeaders("", "")},
		{azure + "/v1/chat/completions", "/v1/v1/chat/completions", azureHeaders("", "")},
		{workers + "/v1/chat/completions", "/v1/chat/completions", http.Header{"X-Portkey-Provider": {"workers-ai"}, "X-Portkey-Workers-Ai-Account-Id": {"0a1b"}}},
		{workers + "/run/@cf/meta/llama", "/v1/@cf/meta/llama", http.Header{"X-Portkey-Provider": {"workers-ai"}, "X-Portkey-Workers-Ai-Account-Id": {"0a1b"}}},
		{"https://api.fireworks.ai/inference/v1/embeddings", "/v1/embeddings", http.Header{"X-Portkey-Provider": {"fireworks-ai"}}},
		{"https://api.fireworks.ai/v1/accounts/acme/models", "/v1/models", http.Header{"X-Portkey-Provider": {"fireworks-ai"}, "X-Portkey-Fireworks-Account-Id": {"acme"}}},
	}
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{NewTraceID: noTrace})
	for _, tt := range tests {
		do(t, c, newRequest(t, t.Context(), "POST", tt.url, "{}"))
		got := s.last(t)
		if got.uri != tt.uri {
			t.Errorf("%s: got %s, want %s", tt.url, got.uri, tt.uri)
		}
		if h := got.portkeyHeaders(); !reflect.DeepEqual(h, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.url, h, tt.want)
		}
	}
}

// What a level says goes before the URL, and where it says another provider the
// rest of the URL means nothing.
func TestWhatTheURLSaysIsTheLowestLevel(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{NewTraceID: noTrace})
	const url = "https://res.openai.azure.com/openai/deployments/dep/chat/completions?api-version=2024-06-01"
	for _, tt := range []struct {
		headers    portkey.Headers
		deployment string
	}{
		{portkey.Headers{}, "dep"},
		{portkey.Headers{Azure: portkey.Azure{DeploymentID: "mine"}}, "mine"},
		{portkey.Headers{Provider: "azure-openai"}, "dep"},
		{portkey.Headers{Provider: "@azure-prod"}, ""},
		{portkey.Headers{VirtualKey: "vk"}, ""},
		{portkey.Headers{Config: portkey.ConfigSlug("pc-1")}, ""},
		{portkey.Headers{Config: portkey.ConfigJSON(`{"targets":[{"provider":"openai","api_key":"k"}]}`)}, ""},
		{portkey.Headers{Config: portkey.ConfigJSON(`{"retry":{"attempts":1}}`)}, "dep"},
	} {
		do(t, c, newRequest(t, portkey.WithHeaders(t.Context(), tt.headers), "POST", url, "{}"))
		h := s.last(t).header
		if got := h.Get("X-Portkey-Azure-Deployment-Id"); got != tt.deployment {
			t.Errorf("%v: got deployment %q, want %q", tt.headers, got, tt.deployment)
		}
		want := "res"
		if tt.deployment == "" {
			want = ""
		}
		if got := h.Get("X-Portkey-Azure-Resource-Name"); got != want {
			t.Errorf("%v: got resource %q, want %q", tt.headers, got, want)
		}
	}
}

func TestURLThatIsNotOfTheAPIIsRefused(t *testing.T) {
	t.Parallel()
	tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example/v1"})
	for _, url := range []string{
		// An exchange of credentials is not for the gateway.
		"https://api.anthropic.com/v1/oauth/token",
		"https://api.anthropic.com/v1/OAuth/token",
		"https://api.anthropic.com/v1/%6Fauth%2Ftoken",
		"https://api.deepseek.com/oauth2/v3/token",
		"https://api.perplexity.ai/.well-known/openid-configuration",
		// The gateway would call another URL.
		"https://api.fireworks.ai/inference/v1/models",
		"https://api.cloudflare.com/client/v4/accounts/a/ai/v1/models",
		"https://api.cloudflare.com/client/v4/user/tokens",
		// Not under the base URL.
		"https://api.groq.com/v1/chat/completions",
		"https://openrouter.ai/api/v2/x",
		"https://openrouter.ai/api",
		"https://api.together.xyz/v1x",
		"https://res.openai.azure.com/",
		"https://res.openai.azure.com/openaix",
		// Look-alikes.
		"https://api.groq.com.evil.example/openai/v1/x",
		"https://evilapi.groq.com/openai/v1/x",
		"https://x.api.anthropic.com/v1/messages",
		"https://API.anthropic.com/v1/messages",
		"https://api.anthropic.com./v1/messages",
		"https://api.anthropic.com:443/v1/messages",
		"https://api.anthropic.com:8443/v1/messages",
		"http://api.anthropic.com/v1/messages",
		"https://key@api.anthropic.com/v1/messages",
		"https://a.b.openai.azure.com/openai/models",
		"https://.openai.azure.com/openai/models",
		"https://openai.azure.com/openai/models",
		"https://res.openai.azure.com.evil.example/openai/models",
		"https://res.openai.azure.com:444/openai/models",
		"https://res.openai.azure.com./openai/models",
		"https://res.OPENAI.azure.com/openai/models",
		"http://res.openai.azure.com/openai/models",
		"https://r$.openai.azure.com/openai/models",
		"https://r%C3%A9s.openai.azure.com/openai/models",
		"https://api.cloudflare.com/client/v4/accounts/a%2Fb/ai/run/m",
	} {
		req := newRequest(t, t.Context(), "POST", url, "{}")
		_, err := tr.RoundTrip(req)
		var routeErr *portkey.RouteError
		if !errors.As(err, &routeErr) {
			t.Errorf("%s: got %v, want a RouteError", url, err)
		}
	}
}

// An oauth in a path means something only where we know the API.
func TestUpstreamOfOnesOwnMayBeAnything(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{NewTraceID: noTrace, Upstreams: []portkey.Upstream{
		{BaseURL: "https://api.anthropic.com/v1/oauth", Provider: "@login"},
		{BaseURL: "https://llm.example.com/v1", Provider: "together-ai"},
		{BaseURL: "https://res.openai.azure.com/openai/deployments/dep", Provider: "azure-openai"},
		{BaseURL: "https://api.groq.com", Provider: "mine"},
	}})
	for _, tt := range []struct{ url, uri, provider string }{
		{"https://api.anthropic.com/v1/oauth/token", "/v1/token", "@login"},
		{"https://api.anthropic.com/v1/messages", "/v1/messages", "anthropic"},
		// The path that this provider's clients have behind the gateway's own base URL.
		{"https://llm.example.com/v1/chat/completions", "/v1/chat/completions", "together-ai"},
		{"https://llm.example.com/v1/models", "/v1/v1/models", "together-ai"},
		{"https://res.openai.azure.com/openai/deployments/dep/chat/completions", "/v1/chat/completions", "azure-openai"},
		{"https://api.groq.com/openai/v1/chat/completions", "/v1/openai/v1/chat/completions", "mine"},
	} {
		do(t, c, newRequest(t, t.Context(), "POST", tt.url, "{}"))
		if got := s.last(t); got.uri != tt.uri || got.header.Get("X-Portkey-Provider") != tt.provider {
			t.Errorf("%s: got %s for %q, want %s for %q", tt.url, got.uri, got.header.Get("X-Portkey-Provider"), tt.uri, tt.provider)
		}
	}
}

func TestCredentialIsCarriedToWhereTheGatewayReadsIt(t *testing.T) {
	t.Parallel()
	const (
		azureChat   = "https://res.openai.azure.com/openai/deployments/dep/chat/completions?api-version=2024-06-01"
		azureModels = "https://res.openai.azure.com/openai/models?api-version=2024-06-01"
		claude      = "https://api.anthropic.com/v1/messages"
		gemini      = "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent"
		forwarded   = "X-Portkey-Forward-Headers"
		entra       = "X-Portkey-Azure-Ad-Token"
	)
	held := portkey.Headers{VirtualKey: "vk"}
	tests := []struct {
		name, url  string
		headers    portkey.Headers
		send, want map[string]string
	}{
		{"Azure key", azureChat, portkey.Headers{}, map[string]string{"Api-Key": "k"}, map[string]string{"Authorization": "Bearer k"}},
		{"Azure key in another spelling", azureChat, portkey.Headers{}, map[string]string{"api-key": "k"}, map[string]string{"Authorization": "Bearer k"}},
		{"Azure key of a call that is handed on", azureModels, portkey.Headers{}, map[string]string{"Api-Key": "k"}, map[string]string{"Api-Key": "k"}},
		{"Azure key that is forwarded", azureChat, portkey.Headers{ForwardHeaders: []string{"api-key"}}, map[string]string{"Api-Key": "k"},
			map[string]string{"Authorization": "Bearer k", "Api-Key": "k", forwarded: "api-key"}},
		{"Azure key that Portkey holds", azureChat, held, map[string]string{"Api-Key": "k"}, map[string]string{}},
		{"Azure key over one of Options", azureChat, portkey.Headers{Authorization: "Bearer o"}, map[string]string{"Api-Key": "k"}, map[string]string{"Authorization": "Bearer k"}},
		{"Azure key of Options", azureChat, portkey.Headers{Extra: map[string]string{"Api-Key": "k"}}, nil, map[string]string{"Authorization": "Bearer k"}},
		{"Azure key of Options, as the gateway reads it", azureChat, portkey.Headers{Authorization: "Bearer k"}, nil, map[string]string{"Authorization": "Bearer k"}},
		{"Entra token", azureChat, portkey.Headers{}, map[string]string{"Authorization": "Bearer t"}, map[string]string{entra: "t"}},
		{"Entra token of a call that is handed on", azureModels, portkey.Headers{}, map[string]string{"Authorization": "Bearer t"}, map[string]string{"Authorization": "Bearer t"}},
		{"Entra token of Options", azureChat, portkey.Headers{Azure: portkey.Azure{ADToken: "o"}}, nil, map[string]string{entra: "o"}},
		{"Azure key for another provider", azureChat, portkey.Headers{Provider: "openai"}, map[string]string{"Api-Key": "k"}, map[string]string{"Api-Key": "k"}},
		{"Anthropic key", claude, portkey.Headers{}, map[string]string{"X-Api-Key": "k"}, map[string]string{"X-Api-Key": "k"}},
		{"Anthropic key that Portkey holds", claude, held, map[string]string{"X-Api-Key": "k"}, map[string]string{}},
		{"Gemini key", gemini, portkey.Headers{}, map[string]string{"X-Goog-Api-Key": "k"}, map[string]string{"X-Goog-Api-Key": "k"}},
		{"Gemini key that Portkey holds", gemini, held, map[string]string{"X-Goog-Api-Key": "k"}, map[string]string{}},
		// Without any, the gateway would make one of "undefined".
		{"none", openAIChat, portkey.Headers{}, nil, map[string]string{"Authorization": ""}},
		{"none for Azure", azureChat, portkey.Headers{}, nil, map[string]string{"Authorization": ""}},
		{"none beside a config without a key", openAIChat, portkey.Headers{Config: portkey.ConfigJSON(`{"retry":{"attempts":1}}`)}, nil, map[string]string{"Authorization": ""}},
		{"none beside a config with a key", openAIChat, portkey.Headers{Config: portkey.ConfigJSON(`{"api_key":"k","retry":{"attempts":1}}`)}, nil, map[string]string{}},
		{"none beside a saved config", openAIChat, portkey.Headers{Config: portkey.ConfigSlug("pc-1")}, nil, map[string]string{}},
		{"none beside a virtual key", openAIChat, held, nil, map[string]string{}},
		{"none beside an @slug", openAIChat, portkey.Headers{Provider: "@mine"}, nil, map[string]string{}},
		{"none beside an identity of Azure's", azureChat, portkey.Headers{Azure: portkey.Azure{AuthMode: "managed"}}, nil, map[string]string{}},
		{"none but in the query", gemini + "?key=k", portkey.Headers{}, nil, map[string]string{}},
		{"none for a provider that may need none", openAIChat, portkey.Headers{Provider: "ollama"}, nil, map[string]string{}},
	}
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{NewTraceID: noTrace})
	for _, tt := range tests {
		req := newRequest(t, portkey.WithHeaders(t.Context(), tt.headers), "POST", tt.url, "{}")
		for key, value := range tt.send {
			req.Header[key] = []string{value}
		}
		do(t, c, req)
		got := map[string]string{}
		for _, key := range []string{"Authorization", "Api-Key", "X-Api-Key", "X-Goog-Api-Key", entra, forwarded} {
			if values, ok := s.last(t).header[key]; ok {
				got[key] = strings.Join(values, " | ")
			}
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestKeyInTheQueryIsDroppedWhenPortkeyHoldsOne(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{})
	const gemini = "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent"
	for _, tt := range []struct {
		url     string
		headers portkey.Headers
		query   string
	}{
		{gemini + "?key=SECRET&alt=sse", portkey.Headers{Provider: "@google"}, "?alt=sse"},
		{gemini + "?alt=sse&k%65y=SECRET&x=%zz", portkey.Headers{Provider: "@google"}, "?alt=sse&x=%zz"},
		{gemini + "?key=k", portkey.Headers{Provider: "@google"}, ""},
		{gemini + "?key=k&alt=sse", portkey.Headers{}, "?key=k&alt=sse"},
		{"https://api.openai.com/v1/x?key=k", portkey.Headers{Provider: "@openai"}, "?key=k"}, // no credential there
	} {
		do(t, c, newRequest(t, portkey.WithHeaders(t.Context(), tt.headers), "POST", tt.url, "{}"))
		_, query, found := strings.Cut(s.last(t).uri, "?")
		if found {
			query = "?" + query
		}
		if query != tt.query {
			t.Errorf("%s: got query %q, want %q", tt.url, query, tt.query)
		}
	}
}

func TestRedirectWithinTheGatewayKeepsWhatTheURLSaid(t *testing.T) {
	t.Parallel()
	var s *server
	s = newServer(t, redirectTo(307, map[string]func() string{"/v1/chat/completions": func() string { return s.URL + "/v1/elsewhere" }}))
	c := newClient(t, s, portkey.Options{})
	req := newRequest(t, t.Context(), "POST", "https://res.openai.azure.com/openai/deployments/dep/chat/completions?api-version=2024-06-01", "{}")
	req.Header.Set("Authorization", "Bearer t")
	do(t, c, req)
	all := s.all()
	if len(all) != 2 || all[1].uri != "/v1/elsewhere" {
		t.Fatalf("got %v, want two requests, the second for /v1/elsewhere", all)
	}
	if first, second := all[0].portkeyHeaders(), all[1].portkeyHeaders(); !reflect.DeepEqual(first, second) {
		t.Errorf("got %v after the redirect, want %v", second, first)
	}
}
