package portkey_test

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/portkey-go/portkey"
)

// A test in interop/ checks, for every provider, that the real gateway calls the URL that the client asked for.

func TestProviderURLIsRoutedToTheGateway(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{NewTraceID: noTrace})
	for _, tt := range []struct{ url, wantURI, wantProvider string }{
		// Clients and the gateway use the same base URL.
		{"https://api.groq.com/openai/v1/chat/completions", "/v1/chat/completions", "groq"},
		{"https://api.groq.com/openai/v1/models?a=b%20c&a=d", "/v1/models?a=b%20c&a=d", "groq"},
		{"https://api.anthropic.com/v1/messages?beta=true", "/v1/messages?beta=true", "anthropic"},
		{"https://api.anthropic.com/v1/messages/batches", "/v1/messages/batches", "anthropic"},
		{"https://api.perplexity.ai/chat/completions", "/v1/chat/completions", "perplexity-ai"},
		// Clients use a longer base URL. The gateway adds the rest for the endpoints that it translates.
		{"https://api.together.xyz/v1/chat/completions", "/v1/chat/completions", "together-ai"},
		{"https://api.together.xyz/v1/embeddings", "/v1/embeddings", "together-ai"},
		{"https://api.together.xyz/v1/models", "/v1/v1/models", "together-ai"},
		{"https://api.together.xyz/v1/files/f%2F1", "/v1/v1/files/f%2F1", "together-ai"},
		{"https://openrouter.ai/api/v1/chat/completions", "/v1/chat/completions", "openrouter"},
		{"https://openrouter.ai/api/v1/credits", "/v1/v1/credits", "openrouter"},
		// One host has several base URLs: the longest that matches applies.
		{"https://api.deepseek.com/chat/completions", "/v1/chat/completions", "deepseek"},
		{"https://api.deepseek.com/v1/chat/completions", "/v1/chat/completions", "deepseek"},
		{"https://api.deepseek.com/user/balance", "/v1/user/balance", "deepseek"},
		{"https://generativelanguage.googleapis.com/v1beta/openai/chat/completions", "/v1/chat/completions", "google"},
		{"https://generativelanguage.googleapis.com/v1beta/openai/models", "/v1/v1beta/openai/models", "google"},
		{
			"https://generativelanguage.googleapis.com/v1beta/models/m:streamGenerateContent?alt=sse",
			"/v1/v1beta/models/m:streamGenerateContent?alt=sse", "google",
		},
		{"https://api.cohere.ai/compatibility/v1/embeddings", "/v1/embeddings", "cohere"},
		{"https://api.cohere.ai/v2/rerank", "/v1/v2/rerank", "cohere"},
	} {
		t.Run(tt.url, func(t *testing.T) {
			do(t, c, newRequest(t, t.Context(), "POST", tt.url, "{}"))
			got := s.last(t)
			if got.uri != tt.wantURI {
				t.Errorf("got URI %s, want %s", got.uri, tt.wantURI)
			}
			want := http.Header{"X-Portkey-Provider": {tt.wantProvider}}
			if h := got.portkeyHeaders(); !reflect.DeepEqual(h, want) {
				t.Errorf("got %v, want %v", h, want)
			}
			if want := strings.TrimPrefix(s.URL, "http://"); got.host != want {
				t.Errorf("got Host %s, want %s", got.host, want)
			}
		})
	}
}

func TestProviderURLImpliesHeaders(t *testing.T) {
	t.Parallel()
	const (
		azure   = "https://my-res.openai.azure.com/openai"
		workers = "https://api.cloudflare.com/client/v4/accounts/0a1b/ai"
		version = "?api-version=2024-06-01"
	)
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
	workersHeaders := http.Header{"X-Portkey-Provider": {"workers-ai"}, "X-Portkey-Workers-Ai-Account-Id": {"0a1b"}}
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{NewTraceID: noTrace})
	for _, tt := range []struct {
		url, wantURI string
		want         http.Header
	}{
		{
			azure + "/deployments/gpt-3.5_x/chat/completions" + version,
			"/v1/chat/completions" + version, azureHeaders("gpt-3.5_x", "2024-06-01"),
		},
		{
			azure + "/deployments/dep/embeddings?x=1&api-version=2024-06-01",
			"/v1/embeddings?x=1&api-version=2024-06-01", azureHeaders("dep", "2024-06-01"),
		},
		{
			azure + "/deployments/dep/audio/speech" + version,
			"/v1/deployments/dep/audio/speech" + version, azureHeaders("dep", ""),
		},
		{
			azure + "/deployments/dep/extensions/x" + version,
			"/v1/deployments/dep/extensions/x" + version, azureHeaders("dep", ""),
		},
		{
			azure + "/deployments/dep/chat/completions?api-version=%0d%0aX:y",
			"/v1/chat/completions?api-version=%0d%0aX:y", azureHeaders("dep", ""),
		},
		{azure + "/deployments/dep/chat/completions", "/v1/chat/completions", azureHeaders("dep", "")},
		{
			azure + "/responses?api-version=2025-03-01-preview",
			"/v1/responses?api-version=2025-03-01-preview", azureHeaders("", "2025-03-01-preview"),
		},
		{azure + "/models" + version, "/v1/models" + version, azureHeaders("", "")},
		{azure + "/v1/chat/completions", "/v1/v1/chat/completions", azureHeaders("", "")},
		{workers + "/v1/chat/completions", "/v1/chat/completions", workersHeaders},
		{workers + "/run/@cf/meta/llama", "/v1/@cf/meta/llama", workersHeaders},
		{
			"https://api.fireworks.ai/inference/v1/embeddings",
			"/v1/embeddings", http.Header{"X-Portkey-Provider": {"fireworks-ai"}},
		},
		{
			"https://res.services.ai.azure.com/models/chat/completions" + version, "/v1/chat/completions" + version,
			http.Header{"X-Portkey-Provider": {"azure-ai"}, "X-Portkey-Azure-Resource-Name": {"res"},
				"X-Portkey-Azure-Foundry-Url": {"https://res.services.ai.azure.com/models"}, "X-Portkey-Azure-Api-Version": {"2024-06-01"}},
		},
		{
			"https://eu.api.openai.com/v1/responses", "/v1/responses",
			http.Header{"X-Portkey-Provider": {"openai"}, "X-Portkey-Custom-Host": {"https://eu.api.openai.com/v1"}},
		},
		{
			"https://aiplatform.googleapis.com/v1/projects/p:predict?a=b", "/v1/v1/projects/p:predict?a=b",
			http.Header{"X-Portkey-Provider": {"vertex-ai"}, "X-Portkey-Vertex-Region": {"global"}},
		},
		{
			"https://bedrock-runtime.eu-west-1.amazonaws.com/model/a%3Ab/converse", "/v1/model/a%3Ab/converse",
			http.Header{"X-Portkey-Provider": {"bedrock"}, "X-Portkey-Aws-Region": {"eu-west-1"}},
		},
		{
			"https://api.fireworks.ai/v1/accounts/acme/models", "/v1/models",
			http.Header{"X-Portkey-Provider": {"fireworks-ai"}, "X-Portkey-Fireworks-Account-Id": {"acme"}},
		},
	} {
		t.Run(tt.url, func(t *testing.T) {
			do(t, c, newRequest(t, t.Context(), "POST", tt.url, "{}"))
			got := s.last(t)
			if got.uri != tt.wantURI {
				t.Errorf("got URI %s, want %s", got.uri, tt.wantURI)
			}
			if h := got.portkeyHeaders(); !reflect.DeepEqual(h, tt.want) {
				t.Errorf("got %v, want %v", h, tt.want)
			}
		})
	}
}

func TestHeadersOverrideTheURL(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{NewTraceID: noTrace})
	configJSON := func(text string) portkey.Headers { return portkey.Headers{Config: portkey.ConfigJSON(text)} }
	for _, tt := range []struct {
		name                         string
		headers                      portkey.Headers
		wantDeployment, wantResource string
	}{
		{"no headers", portkey.Headers{}, "dep", "res"},
		{"deployment", portkey.Headers{Azure: portkey.Azure{DeploymentID: "mine"}}, "mine", "res"},
		{"same provider", portkey.Headers{Provider: "azure-openai"}, "dep", "res"},
		{"config with retries only", configJSON(`{"retry":{"attempts":1}}`), "dep", "res"},
		// If the provider is overridden, the rest of the URL has no meaning.
		{"provider slug", portkey.Headers{Provider: "@azure-prod"}, "", ""},
		{"virtual key", portkey.Headers{VirtualKey: "vk"}, "", ""},
		{"config slug", portkey.Headers{Config: portkey.ConfigSlug("pc-1")}, "", ""},
		{"config with targets", configJSON(`{"targets":[{"provider":"openai","api_key":"k"}]}`), "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const url = "https://res.openai.azure.com/openai/deployments/dep/chat/completions?api-version=2024-06-01"
			do(t, c, newRequest(t, portkey.WithHeaders(t.Context(), tt.headers), "POST", url, "{}"))
			h := s.last(t).header
			if got := h.Get("X-Portkey-Azure-Deployment-Id"); got != tt.wantDeployment {
				t.Errorf("got deployment %q, want %q", got, tt.wantDeployment)
			}
			if got := h.Get("X-Portkey-Azure-Resource-Name"); got != tt.wantResource {
				t.Errorf("got resource %q, want %q", got, tt.wantResource)
			}
		})
	}
}

func TestURLOutsideAProvidersAPIIsRejected(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		// OAuth and discovery endpoints: the gateway must not see these credentials.
		"https://api.anthropic.com/v1/oauth/token",
		"https://api.anthropic.com/v1/OAuth/token",
		"https://api.anthropic.com/v1/%6Fauth%2Ftoken",
		"https://api.deepseek.com/oauth2/v3/token",
		"https://api.perplexity.ai/.well-known/openid-configuration",
		// Not reachable through the gateway, which would call another URL.
		"https://api.fireworks.ai/inference/v1/models",
		"https://api.cloudflare.com/client/v4/accounts/a/ai/v1/models",
		"https://api.cloudflare.com/client/v4/user/tokens",
		"https://eu.api.openai.com/v1/realtime?model=m",
		"https://eu.api.openai.com/v1/real%74ime?model=m",
		// Not under the base URL.
		"https://api.groq.com/v1/chat/completions",
		"https://openrouter.ai/api/v2/x",
		"https://openrouter.ai/api",
		"https://api.together.xyz/v1x",
		"https://res.openai.azure.com/",
		"https://res.openai.azure.com/openaix",
		// Similar to a provider's URL, but another origin or not a valid name.
		"https://api.groq.com.evil.example/openai/v1/x",
		"https://evilapi.groq.com/openai/v1/x",
		"https://x.api.anthropic.com/v1/messages",
		"https://api.anthropic.com./v1/messages",
		"https://api.anthropic.com:8443/v1/messages",
		"http://api.anthropic.com/v1/messages",
		"https://key@api.anthropic.com/v1/messages",
		"https://a.b.openai.azure.com/openai/models",
		"https://.openai.azure.com/openai/models",
		"https://openai.azure.com/openai/models",
		"https://res.openai.azure.com.evil.example/openai/models",
		"https://res.openai.azure.com:444/openai/models",
		"https://res.openai.azure.com./openai/models",
		"http://res.openai.azure.com/openai/models",
		"https://r$.openai.azure.com/openai/models",
		"https://r%C3%A9s.openai.azure.com/openai/models",
		"https://api.cloudflare.com/client/v4/accounts/a%2Fb/ai/run/m",
	} {
		t.Run(url, func(t *testing.T) {
			tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example/v1"})
			_, err := tr.RoundTrip(newRequest(t, t.Context(), "POST", url, "{}"))
			var routeErr *portkey.RouteError
			if !errors.As(err, &routeErr) {
				t.Errorf("got %v, want a RouteError", err)
			}
		})
	}
}

func TestUpstreamTakesPrecedenceOverKnownProviders(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{NewTraceID: noTrace, Upstreams: []portkey.Upstream{
		{BaseURL: "https://api.anthropic.com/v1/oauth", Provider: "@login"},
		{BaseURL: "https://llm.example.com/v1", Provider: "together-ai"},
		{BaseURL: "https://res.openai.azure.com/openai/deployments/dep", Provider: "azure-openai"},
		{BaseURL: "https://api.groq.com", Provider: "mine"},
	}})
	for _, tt := range []struct{ url, wantURI, wantProvider string }{
		{"https://api.anthropic.com/v1/oauth/token", "/v1/token", "@login"}, // only refused under a known base URL
		{"https://api.anthropic.com/v1/messages", "/v1/messages", "anthropic"},
		// An Upstream of a known provider has its client path, as https://api.together.xyz/v1 has.
		{"https://llm.example.com/v1/chat/completions", "/v1/chat/completions", "together-ai"},
		{"https://llm.example.com/v1/models", "/v1/v1/models", "together-ai"},
		{
			"https://res.openai.azure.com/openai/deployments/dep/chat/completions", "/v1/chat/completions",
			"azure-openai",
		},
		{"https://api.groq.com/openai/v1/chat/completions", "/v1/openai/v1/chat/completions", "mine"},
	} {
		t.Run(tt.url, func(t *testing.T) {
			do(t, c, newRequest(t, t.Context(), "POST", tt.url, "{}"))
			got := s.last(t)
			if got.uri != tt.wantURI {
				t.Errorf("got URI %s, want %s", got.uri, tt.wantURI)
			}
			if provider := got.header.Get("X-Portkey-Provider"); provider != tt.wantProvider {
				t.Errorf("got provider %q, want %q", provider, tt.wantProvider)
			}
		})
	}
}

func TestCredentialIsSentWhereTheGatewayReadsIt(t *testing.T) {
	t.Parallel()
	const (
		azureChat     = "https://res.openai.azure.com/openai/deployments/dep/chat/completions?api-version=2024-06-01"
		azureModels   = "https://res.openai.azure.com/openai/models?api-version=2024-06-01" // passed through by the gateway
		azureAIChat   = "https://res.services.ai.azure.com/models/chat/completions?api-version=2024-05-01-preview"
		anthropicChat = "https://api.anthropic.com/v1/messages"
		geminiChat    = "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent"
		entraToken    = "X-Portkey-Azure-Ad-Token"
		forward       = "X-Portkey-Forward-Headers"
	)
	type headers = map[string]string // one value each
	unset := portkey.Headers{}
	virtualKey := portkey.Headers{VirtualKey: "vk"}
	configJSON := func(text string) portkey.Headers { return portkey.Headers{Config: portkey.ConfigJSON(text)} }
	tests := []struct {
		name, url  string
		headers    portkey.Headers
		send, want headers
	}{
		{"Azure key", azureChat, unset, headers{"Api-Key": "k"}, headers{"Authorization": "Bearer k"}},
		{"Azure key, lower case", azureChat, unset, headers{"api-key": "k"}, headers{"Authorization": "Bearer k"}},
		{"Azure key, passed through", azureModels, unset, headers{"Api-Key": "k"}, headers{"Api-Key": "k"}},
		{
			"Azure key, forwarded", azureChat, portkey.Headers{ForwardHeaders: []string{"api-key"}},
			headers{"Api-Key": "k"}, headers{"Authorization": "Bearer k", "Api-Key": "k", forward: "api-key"},
		},
		{"Azure key and a virtual key", azureChat, virtualKey, headers{"Api-Key": "k"}, headers{}},
		{
			"Azure key, replaced by the context", azureChat, portkey.Headers{Authorization: "Bearer o"},
			headers{"Api-Key": "k"}, headers{"Authorization": "Bearer o"},
		},
		{
			"Azure key in Extra", azureChat, portkey.Headers{Extra: headers{"Api-Key": "k"}},
			nil, headers{"Authorization": "Bearer k"},
		},
		{
			"Azure key in Authorization", azureChat, portkey.Headers{Authorization: "Bearer k"},
			nil, headers{"Authorization": "Bearer k"},
		},
		{"Entra token", azureChat, unset, headers{"Authorization": "Bearer t"}, headers{entraToken: "t"}},
		{
			"Entra token, passed through", azureModels, unset,
			headers{"Authorization": "Bearer t"}, headers{"Authorization": "Bearer t"},
		},
		{
			"Entra token in its field", azureChat, portkey.Headers{Azure: portkey.Azure{ADToken: "o"}},
			nil, headers{entraToken: "o"},
		},
		{
			"Azure key for another provider", azureChat, portkey.Headers{Provider: "openai"},
			headers{"Api-Key": "k"}, headers{"Api-Key": "k"},
		},
		{"Azure AI key", azureAIChat, unset, headers{"Api-Key": "k"}, headers{"Authorization": "Bearer k"}},
		{"Azure AI, Entra token", azureAIChat, unset, headers{"Authorization": "Bearer t"}, headers{entraToken: "t"}},
		{"Anthropic key", anthropicChat, unset, headers{"X-Api-Key": "k"}, headers{"X-Api-Key": "k"}},
		{"Anthropic key and a virtual key", anthropicChat, virtualKey, headers{"X-Api-Key": "k"}, headers{}},
		{"Gemini key", geminiChat, unset, headers{"X-Goog-Api-Key": "k"}, headers{"X-Goog-Api-Key": "k"}},
		{"Gemini key and a virtual key", geminiChat, virtualKey, headers{"X-Goog-Api-Key": "k"}, headers{}},

		// Without a credential, the gateway sends "Bearer undefined" to the provider.
		{"no credential", openAIChat, unset, nil, headers{"Authorization": ""}},
		{"no credential, Azure", azureChat, unset, nil, headers{"Authorization": ""}},
		{
			"no credential, config without a key", openAIChat, configJSON(`{"retry":{"attempts":1}}`),
			nil, headers{"Authorization": ""},
		},
		{
			"no credential, config with a key", openAIChat, configJSON(`{"api_key":"k","retry":{"attempts":1}}`),
			nil, headers{},
		},
		{
			"no credential, config slug", openAIChat, portkey.Headers{Config: portkey.ConfigSlug("pc-1")},
			nil, headers{},
		},
		{"no credential, virtual key", openAIChat, virtualKey, nil, headers{}},
		{"no credential, provider slug", openAIChat, portkey.Headers{Provider: "@mine"}, nil, headers{}},
		{
			"no credential, Azure managed identity", azureChat,
			portkey.Headers{Azure: portkey.Azure{AuthMode: "managed"}}, nil, headers{},
		},
		{"credential in the query", geminiChat + "?key=k", unset, nil, headers{}},
		{
			"no credential, provider that may need none", openAIChat, portkey.Headers{Provider: "ollama"},
			nil, headers{},
		},
	}
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{NewTraceID: noTrace})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := newRequest(t, portkey.WithHeaders(t.Context(), tt.headers), "POST", tt.url, "{}")
			for key, value := range tt.send {
				req.Header[key] = []string{value}
			}
			do(t, c, req)
			got := headers{}
			for _, key := range []string{
				"Authorization", "Api-Key", "X-Api-Key", "X-Goog-Api-Key", entraToken, forward,
			} {
				if values, ok := s.last(t).header[key]; ok {
					got[key] = strings.Join(values, " | ")
				}
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestKeyInTheQueryIsOmittedIfPortkeyHasOne(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{})
	const gemini = "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent"
	googleSlug := portkey.Headers{Provider: "@google"}
	for _, tt := range []struct {
		name, url string
		headers   portkey.Headers
		wantQuery string
	}{
		{"first of two", gemini + "?key=SECRET&alt=sse", googleSlug, "?alt=sse"},
		{"escaped name", gemini + "?alt=sse&k%65y=SECRET&x=%zz", googleSlug, "?alt=sse&x=%zz"},
		{"alone", gemini + "?key=k", googleSlug, ""},
		{"client's own credential", gemini + "?key=k&alt=sse", portkey.Headers{}, "?key=k&alt=sse"},
		{
			"not a credential of that provider", "https://api.openai.com/v1/x?key=k",
			portkey.Headers{Provider: "@openai"}, "?key=k",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			do(t, c, newRequest(t, portkey.WithHeaders(t.Context(), tt.headers), "POST", tt.url, "{}"))
			_, query, found := strings.Cut(s.last(t).uri, "?")
			if found {
				query = "?" + query
			}
			if query != tt.wantQuery {
				t.Errorf("got query %q, want %q", query, tt.wantQuery)
			}
		})
	}
}

func TestRedirectWithinTheGatewayKeepsImpliedHeaders(t *testing.T) {
	t.Parallel()
	var s *server
	elsewhere := func() string { return s.URL + "/v1/elsewhere" }
	s = newServer(t, redirectTo(http.StatusTemporaryRedirect, map[string]func() string{
		"/v1/chat/completions": elsewhere, "/v1/v1/projects/p": elsewhere, "/v1/model/m/converse": elsewhere,
	}))
	for _, url := range []string{
		"https://res.openai.azure.com/openai/deployments/dep/chat/completions?api-version=2024-06-01",
		"https://res.services.ai.azure.com/models/chat/completions",
		"https://eu.api.openai.com/v1/chat/completions",
		"https://aiplatform.googleapis.com/v1/projects/p",
		"https://bedrock-runtime.eu-west-1.amazonaws.com/model/m/converse",
	} {
		t.Run(url, func(t *testing.T) {
			before := len(s.all())
			req := newRequest(t, t.Context(), "POST", url, "{}")
			req.Header.Set("Authorization", "Bearer t")
			do(t, newClient(t, s, portkey.Options{}), req)
			all := s.all()[before:]
			if len(all) != 2 || all[1].uri != "/v1/elsewhere" {
				t.Fatalf("got %v, want two requests, the second for /v1/elsewhere", all)
			}
			if got, want := all[1].portkeyHeaders(), all[0].portkeyHeaders(); !reflect.DeepEqual(got, want) {
				t.Errorf("got %v after the redirect, want %v", got, want)
			}
		})
	}
}

// An AWS SDK signs its requests, or sends a Bedrock API key.
func TestBedrockCredential(t *testing.T) {
	t.Parallel()
	type headers = map[string]string
	const (
		signature = "AWS4-HMAC-SHA256 Credential=AKID/20260131/eu-west-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature=0a1b"
		authType  = "X-Portkey-Aws-Auth-Type"
	)
	signed := headers{"Authorization": signature, "X-Amz-Content-Sha256": "hash", "X-Amz-Date": "20260131T000000Z", "X-Amz-Security-Token": "token"}
	apiKey := headers{"Authorization": "Bearer key"}
	forward := []string{"authorization"}
	saved := portkey.Headers{Provider: "@bedrock"}
	s := newServer(t, nil)
	for _, tt := range []struct {
		name             string
		options, context portkey.Headers
		send, want       headers
	}{
		{name: "signature", send: signed, want: signed},
		{name: "API key", send: apiKey, want: headers{"Authorization": "Bearer key", authType: "apiKey"}},
		{name: "API key in Options", options: portkey.Headers{Authorization: "Bearer o"}, want: headers{"Authorization": "Bearer o", authType: "apiKey"}},
		{
			name: "API key, another AuthType", options: portkey.Headers{AWS: portkey.AWS{AuthType: "serviceRole"}},
			send: apiKey, want: headers{"Authorization": "Bearer key", authType: "serviceRole"},
		},
		{name: "signature, saved provider", context: saved, send: signed, want: headers{}},
		{name: "signature, virtual key", context: portkey.Headers{VirtualKey: "vk"}, send: signed, want: headers{}},
		{name: "API key, saved provider", context: saved, send: apiKey, want: headers{}},
		{
			name: "signature, replaced by the context", context: portkey.Headers{Authorization: "Bearer tenant"},
			send: signed, want: headers{"Authorization": "Bearer tenant", authType: "apiKey"},
		},
		{name: "signature, forwarded", context: portkey.Headers{Provider: "@bedrock", ForwardHeaders: forward}, send: signed, want: signed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, s, portkey.Options{NewTraceID: noTrace, Headers: tt.options})
			const url = "https://bedrock-runtime.eu-west-1.amazonaws.com/model/m/converse"
			req := newRequest(t, portkey.WithHeaders(t.Context(), tt.context), "POST", url, "{}")
			for key, value := range tt.send {
				req.Header.Set(key, value)
			}
			do(t, c, req)
			got := headers{}
			for _, key := range []string{"Authorization", "X-Amz-Content-Sha256", "X-Amz-Date", "X-Amz-Security-Token", authType} {
				if values, ok := s.last(t).header[key]; ok {
					got[key] = strings.Join(values, " | ")
				}
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// A service with a key for each tenant sets Headers.Authorization in the context of the
// call, and its client has a key of its own.
func TestAuthorizationInAContextReplacesTheClientsCredential(t *testing.T) {
	t.Parallel()
	type headers = map[string]string
	const (
		azure     = "https://res.openai.azure.com/openai/deployments/dep/chat/completions"
		anthropic = "https://api.anthropic.com/v1/messages"
		gemini    = "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent"
		bearer    = "Bearer tenant"
	)
	tests := []struct {
		name, url     string
		authorization string
		sent, want    headers
		wantQuery     string
	}{
		{"Authorization", openAIChat, bearer, headers{"Authorization": "Bearer own"}, headers{"Authorization": bearer}, ""},
		{"another scheme", openAIChat, "Basic dGVuYW50", headers{"Authorization": "Bearer own"}, headers{"Authorization": "Basic dGVuYW50"}, ""},
		{"none", openAIChat, bearer, nil, headers{"Authorization": bearer}, ""},
		{"Anthropic key", anthropic, bearer, headers{"X-Api-Key": "own"}, headers{"X-Api-Key": "tenant"}, ""},
		{"Anthropic key, another scheme", anthropic, "Basic dGVuYW50", headers{"X-Api-Key": "own"}, headers{"Authorization": "Basic dGVuYW50"}, ""},
		{"Anthropic key and token", anthropic, bearer, headers{"X-Api-Key": "own", "Authorization": "Bearer own"}, headers{"X-Api-Key": "tenant", "Authorization": bearer}, ""},
		{"Gemini key", gemini, bearer, headers{"X-Goog-Api-Key": "own"}, headers{"X-Goog-Api-Key": "tenant"}, ""},
		{"Gemini key in the query", gemini + "?alt=sse&key=own&a=b%20c", bearer, nil, headers{}, "alt=sse&key=tenant&a=b%20c"},
		{"Gemini key in the query, another scheme", gemini + "?key=own&a=b", "Basic dGVuYW50", nil, headers{"Authorization": "Basic dGVuYW50"}, "a=b"},
		{"Azure key", azure, bearer, headers{"Api-Key": "own"}, headers{"Authorization": bearer}, ""},
		{"Entra token", azure, bearer, headers{"Authorization": "Bearer own"}, headers{"X-Portkey-Azure-Ad-Token": "tenant"}, ""},
	}
	s := newServer(t, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, s, portkey.Options{Headers: portkey.Headers{APIKey: "pk"}})
			ctx := portkey.WithHeaders(t.Context(), portkey.Headers{Authorization: tt.authorization})
			req := newRequest(t, ctx, "POST", tt.url, "{}")
			for key, value := range tt.sent {
				req.Header.Set(key, value)
			}
			do(t, c, req)
			last := s.last(t)
			got := headers{}
			for _, key := range []string{"Authorization", "Api-Key", "X-Api-Key", "X-Goog-Api-Key", "X-Portkey-Azure-Ad-Token"} {
				if values, ok := last.header[key]; ok {
					got[key] = strings.Join(values, " | ")
				}
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if _, query, _ := strings.Cut(last.uri, "?"); query != tt.wantQuery {
				t.Errorf("got query %s, want %s", query, tt.wantQuery)
			}
		})
	}
	t.Run("in Options it only fills in", func(t *testing.T) {
		c := newClient(t, s, portkey.Options{Headers: portkey.Headers{Authorization: bearer}})
		req := newRequest(t, t.Context(), "POST", openAIChat, "{}")
		req.Header.Set("Authorization", "Bearer own")
		do(t, c, req)
		if got := s.last(t).header.Get("Authorization"); got != "Bearer own" {
			t.Errorf("got %q, want the client's", got)
		}
	})
	t.Run("inner context", func(t *testing.T) {
		c := newClient(t, s, portkey.Options{})
		ctx := portkey.WithHeaders(t.Context(), portkey.Headers{Authorization: "Bearer outer"})
		ctx = portkey.WithHeaders(ctx, portkey.Headers{Authorization: bearer})
		do(t, c, newRequest(t, ctx, "POST", openAIChat, "{}"))
		if got := s.last(t).header.Get("Authorization"); got != bearer {
			t.Errorf("got %q, want %s", got, bearer)
		}
	})
}

func TestUpstreamSendsItsCustomHost(t *testing.T) {
	t.Parallel()
	opts := portkey.Options{Upstreams: []portkey.Upstream{
		{BaseURL: "https://api.moonshot.ai/v1", Provider: "moonshot"},
		{BaseURL: "https://eu.llm.example.com/v1", Provider: "openai"},
		{BaseURL: "https://api.groq.com/openai/v1", Provider: "groq"},
		{BaseURL: "https://saved.example.com/v1", Provider: "@saved"},
		{BaseURL: "https://none.example.com/v1"},
		{BaseURL: "https://alias.example.com/v1", Provider: "openai", CustomHost: "http://inside.example.com/v1"},
	}}
	tests := []struct {
		name, url                      string
		headers                        portkey.Headers
		uri, provider, host, wantTrace string
	}{
		{name: "other host", url: "https://api.moonshot.ai/v1/chat/completions", uri: "/v1/chat/completions", provider: "moonshot", host: "https://api.moonshot.ai"},
		{name: "other host, proxied", url: "https://api.moonshot.ai/v1/models", uri: "/v1/v1/models", provider: "moonshot", host: "https://api.moonshot.ai"},
		{name: "region", url: "https://eu.llm.example.com/v1/chat/completions", uri: "/v1/chat/completions", provider: "openai", host: "https://eu.llm.example.com/v1"},
		{name: "known provider beside it", url: openAIChat, uri: "/v1/chat/completions", provider: "openai"},
		{name: "the gateway's default", url: "https://api.groq.com/openai/v1/models", uri: "/v1/models", provider: "groq"},
		{name: "saved provider", url: "https://saved.example.com/v1/models", uri: "/v1/models", provider: "@saved"},
		{name: "no provider", url: "https://none.example.com/v1/models", uri: "/v1/models"},
		{name: "explicit", url: "https://alias.example.com/v1/models", uri: "/v1/models", provider: "openai", host: "http://inside.example.com/v1"},
		{name: "Headers.CustomHost", url: "https://eu.llm.example.com/v1/models", headers: portkey.Headers{CustomHost: "https://mine.example.com"}, uri: "/v1/models", provider: "openai", host: "https://mine.example.com"},
		{name: "another provider", url: "https://eu.llm.example.com/v1/models", headers: portkey.Headers{Provider: "groq"}, uri: "/v1/models", provider: "groq"},
		{name: "config slug", url: "https://eu.llm.example.com/v1/models", headers: portkey.Headers{Config: portkey.ConfigSlug("pc-1")}, uri: "/v1/models"},
	}
	s := newServer(t, nil)
	c := newClient(t, s, opts)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			do(t, c, newRequest(t, portkey.WithHeaders(t.Context(), tt.headers), "POST", tt.url, "{}"))
			got := s.last(t)
			if got.uri != tt.uri {
				t.Errorf("got %s, want %s", got.uri, tt.uri)
			}
			if provider := got.header.Get("X-Portkey-Provider"); provider != tt.provider {
				t.Errorf("got provider %q, want %q", provider, tt.provider)
			}
			if host := got.header.Get("X-Portkey-Custom-Host"); host != tt.host {
				t.Errorf("got custom host %q, want %q", host, tt.host)
			}
		})
	}
}

func TestUpstreamThatTheGatewayCannotCallIsRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		upstream portkey.Upstream
		want     string
	}{
		{"suffix", portkey.Upstream{BaseURL: "https://proxy.example.com/SECRET", Provider: "together-ai"}, "Upstreams[0].BaseURL must end in /v1"},
		{"custom host", portkey.Upstream{BaseURL: "https://a.example.com", CustomHost: "https://u:SECRET@x"}, "Upstreams[0].CustomHost"},
		{"host that is not ASCII", portkey.Upstream{BaseURL: "https://llm.b\u00fccher.example/SECRET", Provider: "@saved"}, "has a host that is not ASCII"},
		{"zone", portkey.Upstream{BaseURL: "http://[fe80::1%25eth0]:8000/SECRET", Provider: "openai"}, "cannot be sent as a custom host"},
		{"long host", portkey.Upstream{BaseURL: "https://a.example/" + strings.Repeat("SECRET", 400), Provider: "openai"}, "cannot be sent as a custom host"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := portkey.NewTransport(nil, portkey.Options{BaseURL: "http://gw.example", Upstreams: []portkey.Upstream{tt.upstream}})
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("got %v, want an error with %q and without the value", err, tt.want)
			}
		})
	}
}

func TestProviderHostIsComparedIgnoringCaseAndDefaultPort(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{Upstreams: []portkey.Upstream{{BaseURL: "https://LLM.example.com:443/v1", Provider: "@llm"}}})
	for url, provider := range map[string]string{
		"https://API.OpenAI.com/v1/models":               "openai",
		"https://api.openai.com:443/v1/models":           "openai",
		"https://Res.OpenAI.Azure.com:443/openai/models": "azure-openai",
		"https://llm.EXAMPLE.com/v1/models":              "@llm",
	} {
		t.Run(url, func(t *testing.T) {
			do(t, c, newRequest(t, t.Context(), "GET", url, ""))
			if got := s.last(t).header.Get("X-Portkey-Provider"); got != provider {
				t.Errorf("got provider %q, want %q", got, provider)
			}
		})
	}
}

func TestCredentialInOptionsFillsInOnlyIfTheClientSendsNone(t *testing.T) {
	t.Parallel()
	type headers = map[string]string
	const gemini = "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent"
	for _, tt := range []struct {
		name, url  string
		sent, want headers
	}{
		{"Anthropic key", "https://api.anthropic.com/v1/messages", headers{"X-Api-Key": "own"}, headers{"X-Api-Key": "own"}},
		{"Gemini key", gemini, headers{"X-Goog-Api-Key": "own"}, headers{"X-Goog-Api-Key": "own"}},
		{"Gemini key in the query", gemini + "?key=own", nil, headers{}},
		{"empty Gemini key in the query", gemini + "?key=", nil, headers{"Authorization": "Bearer options"}},
		{"Azure key, proxied", "https://res.openai.azure.com/openai/models", headers{"Api-Key": "own"}, headers{"Api-Key": "own"}},
		{"none", openAIChat, nil, headers{"Authorization": "Bearer options"}},
		{"empty Bearer", openAIChat, headers{"Authorization": "Bearer "}, headers{"Authorization": "Bearer options"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base := new(recorder)
			tr := newTransport(t, base, portkey.Options{BaseURL: "http://gw.example", Headers: portkey.Headers{Authorization: "Bearer options"}})
			req := newRequest(t, t.Context(), "POST", tt.url, "{}")
			for key, value := range tt.sent {
				req.Header.Set(key, value)
			}
			if _, err := tr.RoundTrip(req); err != nil {
				t.Fatal(err)
			}
			got := headers{}
			for _, key := range []string{"Authorization", "Api-Key", "X-Api-Key", "X-Goog-Api-Key"} {
				if values, ok := base.last(t).Header[key]; ok {
					got[key] = strings.Join(values, " | ")
				}
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestOverrideLeavesNoCredentialOfTheClient(t *testing.T) {
	t.Parallel()
	ctx := portkey.WithHeaders(t.Context(), portkey.Headers{Authorization: "bearer tenant"})
	for _, tt := range []struct {
		name, url string
		opts      portkey.Headers
		sent      http.Header
		want      string
	}{
		{"forwarded to a saved provider", "http://gw.example/v1/rerank", portkey.Headers{Provider: "@slug", ForwardHeaders: []string{"authorization"}},
			http.Header{"Authorization": {"Bearer CLIENT"}}, "Bearer tenant"},
		{"key in the query, provider by header", "http://gw.example/v1/x?key=CLIENT", portkey.Headers{Provider: "google"}, nil, ""},
		{"key in the query, saved provider", "http://gw.example/v1/x?key=CLIENT", portkey.Headers{Provider: "@slug"}, nil, "Bearer tenant"},
		{"key in the query, config slug", "http://gw.example/v1/x?key=CLIENT;x=1", portkey.Headers{Config: portkey.ConfigSlug("pc-1")}, nil, "Bearer tenant"},
		{"key in the query of another provider's URL", openAIChat + "?key=CLIENT", portkey.Headers{Provider: "google"}, nil, ""},
		{"Anthropic key", "https://api.anthropic.com/v1/messages", portkey.Headers{}, http.Header{"X-Api-Key": {"CLIENT"}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base := new(recorder)
			req := newRequest(t, ctx, "POST", tt.url, "{}")
			for key, values := range tt.sent {
				req.Header[key] = values
			}
			if _, err := newTransport(t, base, portkey.Options{BaseURL: "http://gw.example", Headers: tt.opts}).RoundTrip(req); err != nil {
				t.Fatal(err)
			}
			got := base.last(t)
			if text := fmt.Sprint(got.URL, got.Header); strings.Contains(text, "CLIENT") || !strings.Contains(text, "tenant") {
				t.Errorf("got %s, want the tenant's credential only", text)
			}
			if authorization := got.Header.Get("Authorization"); authorization != tt.want {
				t.Errorf("got Authorization %q, want %q", authorization, tt.want)
			}
		})
	}
}

func TestMovedCredentialIsChecked(t *testing.T) {
	t.Parallel()
	tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example"})
	req := newRequest(t, t.Context(), "POST", "https://res.openai.azure.com/openai/deployments/d/chat/completions", "{}")
	req.Header["Api-Key"] = []string{"k\r\nX-Evil: 1"}
	_, err := tr.RoundTrip(req)
	checkHeaderError(t, err, "api-key")
}

func TestProviderSlugReplacesTheProviderOfTheURL(t *testing.T) {
	t.Parallel()
	type headers = map[string]string
	slugs := map[string]string{
		"openai": "@openai-prod", "anthropic": "", "azure-openai": "@azure", "google": "@gemini", "cohere": "@cohere", "groq": "@groq",
		"bedrock": "@bedrock", "vertex-ai": "",
	}
	opts := portkey.Options{ProviderSlugs: slugs, Upstreams: []portkey.Upstream{
		{BaseURL: "https://eu.llm.example.com/v1", Provider: "openai"},
		{BaseURL: "https://us.llm.example.com/v1", Provider: "@openai-us"},
		{BaseURL: "https://api.groq.com/openai/v1", Provider: "groq"},
	}}
	const (
		azure  = "https://res.openai.azure.com/openai/deployments/dep"
		gemini = "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent"
	)
	inline := portkey.ConfigObject{Retry: &portkey.Retry{Attempts: 2}}
	tests := []struct {
		name, url  string
		headers    portkey.Headers
		sent, want headers // without the config
		wantURI    string
	}{
		{"slug", openAIChat, portkey.Headers{}, headers{"Authorization": "Bearer own"}, headers{"X-Portkey-Provider": "@openai-prod"}, "/v1/chat/completions"},
		{"no provider", "https://api.anthropic.com/v1/messages", portkey.Headers{}, headers{"X-Api-Key": "own"}, headers{}, "/v1/messages"},
		{"Azure", azure + "/chat/completions?api-version=2024-10-21", portkey.Headers{}, headers{"Api-Key": "own"},
			headers{"X-Portkey-Provider": "@azure"}, "/v1/chat/completions?api-version=2024-10-21"},
		{"Azure, Entra token", azure + "/chat/completions", portkey.Headers{}, headers{"Authorization": "Bearer own"}, headers{"X-Portkey-Provider": "@azure"}, "/v1/chat/completions"},
		{"key in the query", gemini + "?alt=sse&key=own", portkey.Headers{}, nil, headers{"X-Portkey-Provider": "@gemini"}, "/v1/v1beta/models/m:generateContent?alt=sse"},
		{"region", "https://bedrock-runtime.eu-west-1.amazonaws.com/model/m/converse", portkey.Headers{}, headers{"Authorization": "AWS4-HMAC-SHA256 x"},
			headers{"X-Portkey-Provider": "@bedrock", "X-Portkey-Aws-Region": "eu-west-1"}, "/v1/model/m/converse"},
		{"region, no provider", "https://europe-west4-aiplatform.googleapis.com/v1/x", portkey.Headers{}, headers{"Authorization": "Bearer own"},
			headers{"X-Portkey-Vertex-Region": "europe-west4"}, "/v1/v1/x"},
		{"provider without a slug", "https://api.mistral.ai/v1/models", portkey.Headers{}, headers{"Authorization": "Bearer own"},
			headers{"Authorization": "Bearer own", "X-Portkey-Provider": "mistral-ai"}, "/v1/models"},
		{"known base URL with a custom host", "https://api.cohere.com/v2/chat", portkey.Headers{}, headers{"Authorization": "Bearer own"},
			headers{"Authorization": "Bearer own", "X-Portkey-Provider": "cohere", "X-Portkey-Custom-Host": "https://api.cohere.com"}, "/v1/v2/chat"},
		{"Upstream with a custom host", "https://eu.llm.example.com/v1/models", portkey.Headers{}, headers{"Authorization": "Bearer own"},
			headers{"Authorization": "Bearer own", "X-Portkey-Provider": "openai", "X-Portkey-Custom-Host": "https://eu.llm.example.com/v1"}, "/v1/models"},
		{"Upstream with a slug", "https://us.llm.example.com/v1/models", portkey.Headers{}, headers{"Authorization": "Bearer own"},
			headers{"X-Portkey-Provider": "@openai-us"}, "/v1/models"},
		{"Upstream that the gateway calls by default", "https://api.groq.com/openai/v1/models", portkey.Headers{}, headers{"Authorization": "Bearer own"},
			headers{"X-Portkey-Provider": "@groq"}, "/v1/models"},
		{"another provider for the call", openAIChat, portkey.Headers{Provider: "groq"}, headers{"Authorization": "Bearer own"},
			headers{"Authorization": "Bearer own", "X-Portkey-Provider": "groq"}, "/v1/chat/completions"},
		{"the bare provider for the call", azure + "/chat/completions", portkey.Headers{Provider: "azure-openai"}, headers{"Api-Key": "own"},
			headers{"Authorization": "Bearer own", "X-Portkey-Provider": "azure-openai", "X-Portkey-Azure-Resource-Name": "res", "X-Portkey-Azure-Deployment-Id": "dep"}, "/v1/chat/completions"},
		{"virtual key", openAIChat, portkey.Headers{VirtualKey: "vk"}, headers{"Authorization": "Bearer own"}, headers{"X-Portkey-Virtual-Key": "vk"}, "/v1/chat/completions"},
		{"config slug", openAIChat, portkey.Headers{Config: portkey.ConfigSlug("pc-1")}, headers{"Authorization": "Bearer own"}, headers{}, "/v1/chat/completions"},
		{"config without a provider", openAIChat, portkey.Headers{Config: inline}, headers{"Authorization": "Bearer own"}, headers{"X-Portkey-Provider": "@openai-prod"}, "/v1/chat/completions"},
		{"config with a provider", openAIChat, portkey.Headers{Config: portkey.ConfigObject{Provider: "@other"}}, headers{"Authorization": "Bearer own"}, headers{}, "/v1/chat/completions"},
		{"credential for the call", openAIChat, portkey.Headers{Authorization: "Bearer tenant"}, headers{"Authorization": "Bearer own"},
			headers{"Authorization": "Bearer tenant", "X-Portkey-Provider": "@openai-prod"}, "/v1/chat/completions"},
	}
	s := newServer(t, nil)
	opts.NewTraceID = noTrace
	c := newClient(t, s, opts)
	clear(slugs)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := newRequest(t, portkey.WithHeaders(t.Context(), tt.headers), "POST", tt.url, "{}")
			for key, value := range tt.sent {
				req.Header.Set(key, value)
			}
			do(t, c, req)
			last, got := s.last(t), headers{}
			for key, values := range last.header {
				if strings.HasPrefix(key, "X-Portkey-") && key != "X-Portkey-Config" || strings.Contains(key, "Auth") || strings.Contains(key, "Key") {
					got[key] = strings.Join(values, " | ")
				}
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if last.uri != tt.wantURI {
				t.Errorf("got %s, want %s", last.uri, tt.wantURI)
			}
		})
	}
}

func TestRedirectWithASavedProviderCarriesNoCredential(t *testing.T) {
	t.Parallel()
	for _, slug := range []string{"@saved", ""} {
		for name, location := range map[string]string{"relative": "/v1/other", "absolute": "gateway", "the provider's": "https://api.anthropic.com/v1/other"} {
			for setup, wrap := range map[string]func(http.RoundTripper) http.RoundTripper{
				"plain":                     func(rt http.RoundTripper) http.RoundTripper { return rt },
				"Response.Request restored": func(rt http.RoundTripper) http.RoundTripper { return restoringTransport{rt} },
			} {
				t.Run(slug+"/"+name+"/"+setup, func(t *testing.T) {
					var gw *server
					gw = newServer(t, redirectTo(http.StatusTemporaryRedirect, map[string]func() string{
						"/v1/messages": func() string { return strings.Replace(location, "gateway", gw.URL+"/v1/other", 1) },
					}))
					rt := newTransport(t, loopback, portkey.Options{BaseURL: gw.URL, ProviderSlugs: map[string]string{"anthropic": slug}})
					req := newRequest(t, t.Context(), "POST", "https://api.anthropic.com/v1/messages", "{}")
					req.Header.Set("X-Api-Key", secret)
					req.Header.Set("Authorization", "Bearer "+secret)
					do(t, &http.Client{Transport: wrap(rt)}, req)
					requests := gw.all()
					if len(requests) != 2 {
						t.Fatalf("got %d requests, want 2", len(requests))
					}
					for _, r := range requests {
						if text := fmt.Sprint(r.header); strings.Contains(text, secret) || r.header.Get("X-Portkey-Provider") != slug {
							t.Errorf("%s: got %s, want provider %q and no credential", r.uri, text, slug)
						}
					}
				})
			}
		}
	}
}

func TestInvalidProviderSlugIsAnError(t *testing.T) {
	t.Parallel()
	for name, slugs := range map[string]map[string]string{
		"unknown provider": {"opnai": "@openai"}, "saved provider": {"@openai": "@openai"}, "no name": {"": "@openai"},
		"bare provider": {"openai": "groq"}, "invalid value": {"openai": "@a\nb"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := portkey.NewTransport(nil, portkey.Options{BaseURL: "http://gw.example", ProviderSlugs: slugs})
			if err == nil || !strings.HasPrefix(err.Error(), "portkey: ") || !strings.Contains(err.Error(), "ProviderSlugs") {
				t.Errorf("got %v, want an error that names ProviderSlugs", err)
			}
		})
	}
}

// A credential in Options or an outer context may be for another provider, or another
// tenant's.
func TestCredentialIsOverriddenByALevelThatDecidesIt(t *testing.T) {
	t.Parallel()
	type headers = map[string]string
	const azure = "https://res.openai.azure.com/openai/deployments/d/chat/completions"
	target := portkey.ConfigObject{Provider: "groq", APIKey: "groq's"}
	for _, tt := range []struct {
		name, url          string
		opts, outer, inner portkey.Headers
		want               headers // the credentials
	}{
		{"saved provider over Options", openAIChat, portkey.Headers{Authorization: "Bearer opts"}, portkey.Headers{}, portkey.Headers{Provider: "@groq"}, headers{}},
		{"config over Options", openAIChat, portkey.Headers{Authorization: "Bearer opts", Extra: map[string]string{"X-Api-Key": "opts"}}, portkey.Headers{},
			portkey.Headers{Config: target}, headers{}},
		{"config over outer context", openAIChat, portkey.Headers{}, portkey.Headers{Authorization: "Bearer outer"}, portkey.Headers{Config: target}, headers{}},
		{"virtual key over outer context", openAIChat, portkey.Headers{}, portkey.Headers{Authorization: "Bearer outer"}, portkey.Headers{VirtualKey: "vk"}, headers{}},
		{"the same level", openAIChat, portkey.Headers{}, portkey.Headers{}, portkey.Headers{Authorization: "Bearer inner", VirtualKey: "vk"}, headers{"Authorization": "Bearer inner"}},
		{"credential over saved provider", openAIChat, portkey.Headers{Provider: "@openai"}, portkey.Headers{}, portkey.Headers{Authorization: "Bearer inner"},
			headers{"Authorization": "Bearer inner"}},
		{"slug of the URL over Options", "https://api.mistral.ai/v1/models", portkey.Headers{Authorization: "Bearer opts"}, portkey.Headers{}, portkey.Headers{}, headers{}},
		{"slug of the URL and context", "https://api.mistral.ai/v1/models", portkey.Headers{}, portkey.Headers{}, portkey.Headers{Authorization: "Bearer inner"},
			headers{"Authorization": "Bearer inner"}},
		{"Upstream's slug over Options", "https://saved.example/v1/models", portkey.Headers{Authorization: "Bearer opts"}, portkey.Headers{}, portkey.Headers{}, headers{}},
		{"Authorization over Entra token", azure, portkey.Headers{Azure: portkey.Azure{ADToken: "opts"}}, portkey.Headers{}, portkey.Headers{Authorization: "Bearer inner"},
			headers{"Authorization": "Bearer inner"}},
		{"Authorization over Entra token of outer context", azure, portkey.Headers{}, portkey.Headers{Azure: portkey.Azure{ADToken: "outer", AuthMode: "entra"}},
			portkey.Headers{Authorization: "Bearer inner"}, headers{"Authorization": "Bearer inner"}},
		{"saved provider over other credentials", openAIChat, portkey.Headers{AWS: portkey.AWS{SecretAccessKey: "opts"}, Azure: portkey.Azure{ADToken: "opts"}},
			portkey.Headers{}, portkey.Headers{Provider: "@groq"}, headers{}},
		{"slug of the URL over other credentials", "https://api.mistral.ai/v1/models", portkey.Headers{AWS: portkey.AWS{SessionToken: "opts"}, Azure: portkey.Azure{ADToken: "opts"}},
			portkey.Headers{}, portkey.Headers{}, headers{}},
		{"Authorization over another header", openAIChat, portkey.Headers{Extra: map[string]string{"X-Api-Key": "opts"}}, portkey.Headers{},
			portkey.Headers{Authorization: "Bearer inner"}, headers{"Authorization": "Bearer inner"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base := new(recorder)
			tr := newTransport(t, base, portkey.Options{BaseURL: "http://gw.example", Headers: tt.opts,
				ProviderSlugs: map[string]string{"mistral-ai": "@mistral"}, Upstreams: []portkey.Upstream{{BaseURL: "https://saved.example/v1", Provider: "@saved"}}})
			ctx := portkey.WithHeaders(portkey.WithHeaders(t.Context(), tt.outer), tt.inner)
			req := newRequest(t, ctx, "POST", tt.url, "{}")
			if strings.Contains(tt.url, "azure") {
				req.Header.Set("Api-Key", "own")
			}
			if _, err := tr.RoundTrip(req); err != nil {
				t.Fatal(err)
			}
			got := headers{}
			for key, values := range base.last(t).Header {
				if strings.Contains(key, "Auth") || strings.HasSuffix(key, "-Key") && key != "X-Portkey-Virtual-Key" || strings.HasSuffix(key, "-Token") {
					got[key] = strings.Join(values, " | ")
				}
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestCredentialInAQueryIsReplacedOnce(t *testing.T) {
	t.Parallel()
	base := new(recorder)
	ctx := portkey.WithHeaders(t.Context(), portkey.Headers{Authorization: "Bearer tenant"})
	req := newRequest(t, ctx, "POST", "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent?key=own&a=b&key&k%65y=own", "{}")
	if _, err := newTransport(t, base, portkey.Options{BaseURL: "http://gw.example"}).RoundTrip(req); err != nil {
		t.Fatal(err)
	}
	if got := base.last(t).URL.RawQuery; got != "key=tenant&a=b" {
		t.Errorf("got query %q, want key=tenant&a=b", got)
	}
}

func TestPathThatMisleadsTheGatewayIsRefused(t *testing.T) {
	t.Parallel()
	upstreams := []portkey.Upstream{{BaseURL: "https://llm.example", Provider: "openai"}}
	for _, tt := range []struct {
		url     string
		ignore  bool // IgnoreRequestHeaders
		refused bool

		provider string
		config   bool
	}{
		{url: "https://res.openai.azure.com/openai/evil.example/.openai.azure.com/x", refused: true},
		{url: "https://api.deepseek.com/proxy.evil.example/x", refused: true},
		{url: "https://api.deepseek.com/proxy:8443/x", refused: true},
		{url: "https://llm.example/proxy.evil.example/x", refused: true},
		{url: "https://api.openai.com/v1/v1/proxy/x", refused: true},
		{url: "http://gw.example/v1/proxy.evil.example/x", ignore: true, refused: true},
		{url: "http://gw.example/v1/./proxy.evil.example/x", ignore: true, refused: true},
		{url: "http://gw.example/v1/y/%2E%2e/proxy.evil.example/x", ignore: true, refused: true},
		{url: "http://gw.example/v1/files/evil.example%23", ignore: true, refused: true},
		{url: "http://gw.example/v1/files/bucket%2Fx/content", ignore: true, refused: true},
		{url: "https://bedrock-runtime.us-east-1.amazonaws.com/files/evil.example", refused: true},
		{url: "http://gw.example/v1/%66iles/x?/v1/files/evil.example%23", ignore: true, refused: true},
		{url: "http://gw.example/v%31/responses?/v1.evil.example/", ignore: true, refused: true},
		{url: "http://gw.example/v1/files/evil.example?", ignore: true, refused: true},
		{url: "http://gw.example/v1/files/evil.example%23", ignore: true, provider: "openai", config: true, refused: true},
		{url: "https://bedrock-runtime.us-east-1.amazonaws.com/%66iles/x?/v1/files/evil.example%23", refused: true},
		{url: "http://gw.example/v1/files/file-1/content?x=1", ignore: true, provider: "openai"},
		{url: "http://gw.example/v1/files?purpose=batch", ignore: true},
		{url: "https://api.openai.com/v1/models/ft%3Agpt%2F1", ignore: true},
		{url: "http://gw.example/v1/files/file-1/content", ignore: true},
		{url: "https://api.openai.com/v1/files/a%20b", ignore: true},
		{url: "https://bedrock-runtime.us-east-1.amazonaws.com/model/m/converse"},
		{url: "http://gw.example/v1/proxy/chat/completions"},
		{url: "https://api.deepseek.com/proxies"},
		{url: "https://res.openai.azure.com/openai/models"},
	} {
		t.Run(fmt.Sprint(tt.url, " ", tt.ignore), func(t *testing.T) {
			h := portkey.Headers{Provider: tt.provider}
			if tt.config {
				h.Config = portkey.ConfigObject{Retry: &portkey.Retry{Attempts: 1}}
			}
			tr := newTransport(t, new(recorder), portkey.Options{BaseURL: "http://gw.example", Upstreams: upstreams, IgnoreRequestHeaders: tt.ignore, Headers: h})
			_, err := tr.RoundTrip(newRequest(t, t.Context(), "POST", tt.url, "{}"))
			if refused := errors.As(err, new(*portkey.RouteError)); refused != tt.refused {
				t.Errorf("got %v, want a RouteError: %t", err, tt.refused)
			}
		})
	}
}

func TestSignatureIsRemovedWithItsAuthorization(t *testing.T) {
	t.Parallel()
	const converse = "https://bedrock-runtime.us-east-1.amazonaws.com/model/m/converse"
	opts := portkey.Options{BaseURL: "http://gw.example", Upstreams: []portkey.Upstream{{BaseURL: "https://bedrock-runtime.eu-west-1.amazonaws.com", Provider: "@b"}}}
	for name, tt := range map[string]struct {
		url  string
		ctx  portkey.Headers
		kept bool
	}{
		"client's own":                {url: converse, kept: true},
		"saved provider":              {url: converse, ctx: portkey.Headers{Provider: "@b"}},
		"Upstream's saved provider":   {url: "https://bedrock-runtime.eu-west-1.amazonaws.com/model/m/converse"},
		"virtual key at the gateway":  {url: "http://gw.example/v1/x", ctx: portkey.Headers{VirtualKey: "vk"}},
		"credential for the call":     {url: "http://gw.example/v1/x", ctx: portkey.Headers{Authorization: "Bearer tenant"}},
		"another provider of the URL": {url: openAIChat, ctx: portkey.Headers{Provider: "@openai"}, kept: true},
	} {
		t.Run(name, func(t *testing.T) {
			base := new(recorder)
			req := newRequest(t, portkey.WithHeaders(t.Context(), tt.ctx), "POST", tt.url, "{}")
			req.Header = http.Header{"Authorization": {"AWS4-HMAC-SHA256 own"}, "X-Amz-Security-Token": {"own"}, "X-Amz-Date": {"now"}}
			if _, err := newTransport(t, base, opts).RoundTrip(req); err != nil {
				t.Fatal(err)
			}
			if _, kept := base.last(t).Header["X-Amz-Security-Token"]; kept != tt.kept {
				t.Errorf("got %v, want X-Amz-Security-Token: %t", base.last(t).Header, tt.kept)
			}
		})
	}
}

func TestEndpointThatIgnoresTheCustomHostIsRefused(t *testing.T) {
	t.Parallel()
	const host = "https://llm.example/v1"
	custom := portkey.Headers{CustomHost: host}
	for _, tt := range []struct {
		url  string
		opts portkey.Headers
	}{
		{"https://api.openai.com/v1/realtime?model=m", custom},
		{"http://gw.example/v1/realtime", custom},
		{"http://gw.example/v1/realtime", portkey.Headers{Config: portkey.ConfigObject{Provider: "openai", APIKey: "k", CustomHost: host}}},
		{"http://gw.example/v1/files", portkey.Headers{Config: portkey.ConfigObject{Provider: "fireworks-ai", APIKey: "k", CustomHost: host}}},
		{"http://gw.example/v1/files", portkey.Headers{CustomHost: host, Config: portkey.ConfigObject{Provider: "fireworks-ai", APIKey: "k"}}},
		{"http://gw.example/v1/files/f1", portkey.Headers{Config: portkey.ConfigJSON(
			`{"strategy":{"mode":"single"},"targets":[{"provider":"bedrock","custom\u005fhost":"` + host + `"}]}`)}},
		{"http://gw.example/v1/batches/b/output", portkey.Headers{Config: portkey.ConfigJSON(`{"provider":"openai","api_key":"k","customHost":"` + host + `"}`)}},
		{"https://eu.api.openai.com/v1/realtime", portkey.Headers{}},
		{"https://eu.api.openai.com/v1/batches/b1/output", portkey.Headers{}},
		{"https://api.cohere.com/batches/b1/output", portkey.Headers{}},
		{"http://gw.example/v1/batches/b1/output", custom},
		{"https://bedrock-runtime-fips.us-east-1.amazonaws.com/files", portkey.Headers{}},
		{"https://aiplatform.eu.rep.googleapis.com/files/f1", portkey.Headers{}},
	} {
		t.Run(tt.url, func(t *testing.T) {
			tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example", Headers: tt.opts})
			if _, err := tr.RoundTrip(newRequest(t, t.Context(), "GET", tt.url, "")); !errors.As(err, new(*portkey.RouteError)) {
				t.Errorf("got %v, want a RouteError", err)
			}
		})
	}
	base := new(recorder)
	tr := newTransport(t, base, portkey.Options{BaseURL: "http://gw.example"})
	for _, url := range []string{"https://api.openai.com/v1/realtime", "https://api.openai.com/v1/batches/b1/output", "https://eu.api.openai.com/v1/batches/b1",
		"https://eu.api.openai.com/v1/files"} {
		if _, err := tr.RoundTrip(newRequest(t, t.Context(), "GET", url, "")); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestRedirectWithinTheGatewayKeepsAKeyInTheQuery(t *testing.T) {
	t.Parallel()
	gw := newServer(t, redirectTo(http.StatusTemporaryRedirect, map[string]func() string{
		"/v1/v1beta/models/m:generateContent": func() string { return "/v1/again?key=own" },
	}))
	do(t, newClient(t, gw, portkey.Options{}), newRequest(t, t.Context(), "POST",
		"https://generativelanguage.googleapis.com/v1beta/models/m:generateContent?key=own", "{}"))
	if got := gw.last(t).uri; got != "/v1/again?key=own" {
		t.Errorf("got %s, want /v1/again?key=own", got)
	}
}

// The credential was not sent to the first provider, since Portkey has one for it.
func TestRedirectFromASavedProviderToAnotherUpstreamIsRefused(t *testing.T) {
	t.Parallel()
	gw := newServer(t, redirectTo(http.StatusTemporaryRedirect, map[string]func() string{
		"/v1/chat/completions": func() string { return "https://llm.example/v1/other" },
	}))
	rt := restoringTransport{newTransport(t, loopback, portkey.Options{BaseURL: gw.URL, ProviderSlugs: map[string]string{"openai": ""},
		Upstreams: []portkey.Upstream{{BaseURL: "https://llm.example/v1"}}})}
	req := newRequest(t, t.Context(), "POST", openAIChat, "{}")
	req.Header.Set("X-Api-Key", secret)
	if _, err := (&http.Client{Transport: rt}).Do(req); !errors.As(err, new(*portkey.RouteError)) {
		t.Errorf("got %v, want a RouteError", err)
	}
}
