package portkey

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// providers are the base URLs under which clients call the providers that the
// gateway knows by itself. A {name} stands for a part of the host or one segment
// of the path, and goes on the wire as x-portkey-name.
//
// To add one, look up in the gateway's source the base URL that it calls, and
// have TestGatewayCallsWhatTheClientAskedFor in interop/ compare.
var providers = []provider{
	{gateway: "https://api.openai.com/v1", name: "openai"},
	{gateway: "https://api.anthropic.com/v1", name: "anthropic"},
	{gateway: "https://{azure-resource-name}.openai.azure.com/openai", client: "/deployments/{azure-deployment-id}", name: azureOpenAI},
	{gateway: "https://{azure-resource-name}.openai.azure.com/openai", name: azureOpenAI},
	{gateway: "https://generativelanguage.googleapis.com", client: "/v1beta/openai", name: google},
	{gateway: "https://generativelanguage.googleapis.com", name: google}, // Gemini's own API: /v1beta/models/...

	{gateway: "https://api.302.ai", client: "/v1", name: "302ai"},
	{gateway: "https://api.cerebras.ai/v1", name: "cerebras"},
	{gateway: "https://api.cloudflare.com/client/v4/accounts/{workers-ai-account-id}/ai/run", name: "workers-ai"},
	{gateway: "https://api.cloudflare.com/client/v4/accounts/{workers-ai-account-id}/ai/v1", name: "workers-ai", unifiedOnly: true},
	{gateway: "https://api.cohere.ai", client: "/compatibility/v1", name: "cohere"},
	{gateway: "https://api.cohere.ai", name: "cohere"},
	{gateway: "https://api.cohere.com", client: "/compatibility/v1", name: "cohere"}, // the gateway calls api.cohere.ai
	{gateway: "https://api.cohere.com", name: "cohere"},
	{gateway: "https://api.cometapi.com/v1", name: "cometapi"},
	{gateway: "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", name: "dashscope"},
	{gateway: "https://api.deepinfra.com/v1/openai", name: "deepinfra"},
	{gateway: "https://api.deepseek.com", client: "/v1", name: "deepseek"},
	{gateway: "https://api.deepseek.com", name: "deepseek"},
	{gateway: "https://api.featherless.ai/v1", name: "featherless-ai"},
	{gateway: "https://api.fireworks.ai/inference/v1", name: "fireworks-ai", unifiedOnly: true},
	{gateway: "https://api.fireworks.ai/v1/accounts/{fireworks-account-id}", name: "fireworks-ai"},
	{gateway: "https://models.inference.ai.azure.com", name: "github"},
	{gateway: "https://api.groq.com/openai/v1", name: "groq"},
	{gateway: "https://api.hyperbolic.xyz", client: "/v1", name: "hyperbolic"},
	{gateway: "https://api.inference.net/v1", name: "inference-net"},
	{gateway: "https://api.intelligence.io.solutions/api/v1", name: "iointelligence"},
	{gateway: "https://api.jina.ai/v1", name: "jina"},
	{gateway: "https://api.kluster.ai/v1", name: "kluster-ai"},
	{gateway: "https://cloud.olakrutrim.com/v1", name: "krutrim"},
	{gateway: "https://api.lemonfox.ai/v1", name: "lemonfox-ai"},
	{gateway: "https://api.lingyiwanwu.com", client: "/v1", name: "lingyi"},
	{gateway: "https://api.mistral.ai/v1", name: "mistral-ai"},
	{gateway: "https://llm.monsterapi.ai/v1", name: "monsterapi"},
	{gateway: "https://api.moonshot.cn", client: "/v1", name: "moonshot"},
	{gateway: "https://api.studio.nebius.ai/v1", name: "nebius"},
	{gateway: "https://api-atlas.nomic.ai/v1", name: "nomic"},
	{gateway: "https://api.novita.ai/v3/openai", name: "novita-ai"},
	{gateway: "https://inference.api.nscale.com/v1", name: "nscale"},
	{gateway: "https://openrouter.ai/api", client: "/v1", name: "openrouter"},
	{gateway: "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1", name: "ovhcloud"},
	{gateway: "https://api.perplexity.ai", name: "perplexity-ai"},
	{gateway: "https://external.api.recraft.ai/v1", name: "recraft-ai"},
	{gateway: "https://api.replicate.com/v1", name: "replicate"},
	{gateway: "https://api.sambanova.ai", client: "/v1", name: "sambanova"},
	{gateway: "https://api.siliconflow.cn/v1", name: "siliconflow"},
	{gateway: "https://api.together.xyz", client: "/v1", name: "together-ai"},
	{gateway: "https://api.together.ai", client: "/v1", name: "together-ai"}, // the gateway calls api.together.xyz
	{gateway: "https://api.upstage.ai/v1/solar", name: "upstage"},
	{gateway: "https://api.voyageai.com/v1", name: "voyage"},
	{gateway: "https://api.x.ai/v1", name: "x-ai"},
	{gateway: "https://api.z.ai/api/paas/v4", name: "z-ai"},
	{gateway: "https://open.bigmodel.cn/api/paas/v4", name: "zhipu"},
}

// The providers that the code has to know.
const (
	azureOpenAI = "azure-openai"
	google      = "google"
)

// A provider is one base URL of one. Clients ask for
//
//	gateway + client + endpoint
//
// where the gateway calls gateway + whatever follows its own base URL. So a
// unified endpoint, of which the gateway knows where the provider has it, goes to
// Options.BaseURL + endpoint, and any other to Options.BaseURL + client + endpoint.
type provider struct {
	gateway, client string
	name            string
	unifiedOnly     bool // the gateway calls the other endpoints under another URL
}

// unified are the endpoints that the gateway translates, for each provider.
var unified = map[string]bool{
	"/chat/completions": true, "/completions": true, "/embeddings": true, "/images/generations": true,
	"/messages": true, "/messages/count_tokens": true,
}

// routed are the others that the gateway has a route for. It does not translate
// them, and calls the bare base URL of a provider that it does not know to have
// them. So they go as any other where clients have something in front of them.
var routed = []string{"/audio", "/batches", "/files", "/fine_tuning/jobs", "/images/edits", "/responses"}

// readsCredential reports whether the gateway reads the credential of a call of
// this endpoint, and sends one of its own making. Else it hands on the headers.
func readsCredential(endpoint string) bool {
	return unified[endpoint] || slices.ContainsFunc(routed, func(r string) bool {
		rest, ok := strings.CutPrefix(endpoint, r)
		return ok && (rest == "" || rest[0] == '/')
	})
}

// isLogin reports whether a path is none of an API's, but of the exchange of one
// credential for another, which SDKs make with the http.Client that they are given.
func isLogin(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if strings.EqualFold(segment, "oauth") || strings.EqualFold(segment, "oauth2") || strings.EqualFold(segment, ".well-known") {
			return true
		}
	}
	return false
}

// An Upstream is a provider's base URL, as clients use it, and what the gateway
// calls that provider.
type Upstream struct {
	// BaseURL is the URL in front of the endpoints ("https://llm.example.com/v1"),
	// with the host as clients write it. Requests under it go to the gateway:
	// <BaseURL>/chat/completions to <gateway>/chat/completions.
	BaseURL string
	// Provider is sent as x-portkey-provider if the request says neither a
	// provider nor a virtual key nor a config. "" sends none.
	Provider string
}

// An upstream is a provider or an Upstream, parsed.
type upstream struct {
	scheme, host, path string // of the base URL
	client             string // as in provider
	says               []line // x-portkey-provider, unless that is ""
	known              bool   // it is from the table
	unifiedOnly        bool   // as in provider
}

var knownUpstreams = func() []upstream {
	known := make([]upstream, len(providers))
	for i, p := range providers {
		scheme, rest, _ := strings.Cut(p.gateway, "://")
		host, path, slash := strings.Cut(rest, "/")
		if slash {
			path = "/" + path
		}
		says := []line{{key: keyProvider, value: p.name}}
		known[i] = upstream{scheme, host, path + p.client, p.client, says, true, p.unifiedOnly}
	}
	slices.SortStableFunc(known, longestFirst)
	return known
}()

// saidKeys are the headers that come from a URL of the table.
var saidKeys = func() []string {
	keys := []string{keyProvider, keyAzureVersion, keyAzureToken}
	for _, p := range providers {
		for _, name := range strings.Split(p.gateway+p.client, "{")[1:] {
			name, _, _ = strings.Cut(name, "}")
			keys = append(keys, partKey(name))
		}
	}
	return keys
}()

func isKnown(name string) bool {
	return slices.ContainsFunc(providers, func(p provider) bool { return p.name == name })
}

func longestFirst(a, b upstream) int { return len(b.path) - len(a.path) }

func newUpstream(base *url.URL, provider line) upstream {
	up := upstream{scheme: base.Scheme, host: base.Host, path: base.Path}
	if provider.value != "" {
		up.says = []line{provider}
	}
	for _, p := range providers {
		if p.name == provider.value && !strings.Contains(p.client, "{") {
			up.client = p.client
			break
		}
	}
	return up
}

// byHost returns own and the known upstreams by host, or by what follows the
// {name} in it: own first, and of either the longest first.
func byHost(own []upstream) map[string][]upstream {
	slices.SortStableFunc(own, longestFirst)
	hosts := make(map[string][]upstream)
	for _, up := range slices.Concat(own, knownUpstreams) {
		host := up.host[strings.IndexByte(up.host, '}')+1:]
		hosts[host] = append(hosts[host], up)
	}
	return hosts
}

// reroute returns the route to the gateway of a request for a provider's URL.
func (t *Transport) reroute(u *url.URL) (route, bool) {
	dot := max(0, strings.IndexByte(u.Host, '.'))
	for _, host := range [...]string{u.Host, u.Host[dot:]} {
		ups := t.upstreams[host]
		for i := range ups {
			if to, ok := ups[i].route(u, t.gateway); ok {
				return to, true
			}
		}
	}
	return route{}, false
}

func (up *upstream) route(u, gateway *url.URL) (route, bool) {
	if u.Scheme != up.scheme || u.User != nil || u.Opaque != "" {
		return route{}, false
	}
	rest, parts, ok := match(up.host, u.Host, nil)
	if !ok || rest != "" {
		return route{}, false
	}
	endpoint, parts, ok := match(up.path, u.EscapedPath(), parts)
	if !ok || endpoint != "" && endpoint[0] != '/' {
		return route{}, false
	}

	if !unified[endpoint] {
		if up.unifiedOnly || up.known && isLogin(u.Path) {
			return route{}, false
		}
		client := up.client
		for _, p := range parts {
			client = strings.Replace(client, "{"+p.name+"}", p.value, 1)
		}
		endpoint = client + endpoint
	}
	to := route{gateway: true, url: *u, endpoint: endpoint, rerouted: true, says: slices.Clip(up.says)}
	to.url.Scheme, to.url.Host = gateway.Scheme, gateway.Host
	to.url.Path = gateway.Path + endpoint
	if strings.Contains(endpoint, "%") {
		to.url.RawPath = to.url.Path
		to.url.Path, _ = url.PathUnescape(to.url.Path) // no error: u has escaped it
	}
	for _, p := range parts {
		to.says = append(to.says, line{key: partKey(p.name), value: p.value})
	}
	if up.known && up.says[0].value == azureOpenAI && readsCredential(endpoint) {
		// In the query it goes along too. So one that cannot be in a header still does.
		if l, err := newLine(keyAzureVersion, u.Query().Get("api-version")); err == nil && l.value != "" {
			to.says = append(to.says, l)
		}
	}
	return to, true
}

// A part is what a URL has in the place of a {name}.
type part struct{ name, value string }

func partKey(name string) string { return http.CanonicalHeaderKey(keyPrefix + name) }

// partChars are what it may consist of. The gateway puts it into a URL as it is.
const partChars = "-._0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// match reads a host or an escaped path by its pattern, and returns what follows.
func match(pattern, text string, parts []part) (rest string, _ []part, ok bool) {
	for {
		literal, after, named := strings.Cut(pattern, "{")
		if text, ok = strings.CutPrefix(text, literal); !ok || !named {
			return text, parts, ok
		}
		var p part
		p.name, pattern, _ = strings.Cut(after, "}")
		end := strings.IndexAny(text, "./") // of a label
		if pattern == "" || pattern[0] == '/' {
			end = strings.IndexByte(text, '/') // of a segment
		}
		if end < 0 {
			end = len(text)
		}
		p.value, text = text[:end], text[end:]
		if p.value == "" || strings.Trim(p.value, partChars) != "" {
			return text, parts, false
		}
		parts = append(parts, p)
	}
}

// parseBaseURL says why text cannot be a base URL, without repeating it: what is
// wrong with it may be that it holds a password.
func parseBaseURL(text string) (u *url.URL, fault string) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, "is not a URL"
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, "has no scheme http or https"
	case u.Hostname() == "":
		return nil, "has no host"
	case u.Port() != "" && !isPort(u.Port()):
		return nil, "has a port that is none"
	case u.User != nil:
		return nil, "has credentials in it"
	case u.RawQuery != "" || u.ForceQuery:
		return nil, "has a query"
	case strings.Contains(text, "#"):
		return nil, "has a fragment"
	case u.EscapedPath() != u.Path:
		return nil, "has an escaped character in its path"
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, ""
}

func isPort(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && 1 <= n && n <= 65535
}
