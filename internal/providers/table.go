// Package providers knows the base URLs under which clients call LLM providers,
// and what a request for one of them implies for the Portkey gateway: the
// provider's name, and further x-portkey-* headers.
package providers

// A row is one base URL of a provider. Clients request
//
//	url + endpoint
//
// The gateway also has a base URL for each provider, which may be shorter than url
// by a suffix. Translated endpoints go to <gateway>/<endpoint>: the gateway knows
// where the provider serves them. For any other endpoint, the gateway appends the
// path that it receives to its base URL for the provider, so the request goes to
// <gateway>/<suffix>/<endpoint>.
type row struct {
	// url is the base URL as clients use it. A {name} matches the first label of
	// the host or one segment of the path, and implies the header x-portkey-name.
	url string
	// provider is the gateway's name for the provider.
	provider string
	// suffix is the end of url that the gateway's base URL for the provider lacks.
	suffix string
	// translatedOnly limits the row to the translated endpoints: the gateway calls
	// the others under another URL.
	translatedOnly bool
	// customHost is set if the gateway calls another host by default. The row then
	// implies x-portkey-custom-host: url without suffix.
	customHost bool
	// special is set if the provider's clients differ from OpenAI's.
	special *Special
}

// A Special describes what the clients of a provider do differently from OpenAI's,
// which send their API key as Authorization: Bearer.
type Special struct {
	KeyHeader   string // the request header that holds the API key; "": Authorization
	TokenHeader string // the header in which the gateway reads an OAuth token, which clients send in Authorization
	KeyQuery    string // the query parameter that may hold the API key; "": none

	query, queryHeader string // a query parameter, and the header that it implies if ReadsCredential(endpoint)
}

var (
	azure = &Special{
		KeyHeader:   "Api-Key",
		TokenHeader: "X-Portkey-Azure-Ad-Token",
		query:       "api-version",
		queryHeader: "X-Portkey-Azure-Api-Version",
	}
	google = &Special{KeyQuery: "key"}
)

// The table of base URLs. TestGatewayCallsWhatTheClientAskedFor in interop/
// compares, for each row, the URL that the client requests with the URL that the
// real gateway calls.
var rows = []row{
	{url: "https://api.openai.com/v1", provider: "openai"},
	{url: "https://api.anthropic.com/v1", provider: "anthropic"},
	{url: "https://{azure-resource-name}.openai.azure.com/openai/deployments/{azure-deployment-id}", provider: "azure-openai", suffix: "/deployments/{azure-deployment-id}", special: azure},
	{url: "https://{azure-resource-name}.openai.azure.com/openai", provider: "azure-openai", special: azure},
	{url: "https://generativelanguage.googleapis.com/v1beta/openai", provider: "google", suffix: "/v1beta/openai", special: google},
	{url: "https://generativelanguage.googleapis.com", provider: "google", special: google}, // Gemini's own API: /v1beta/models/...

	{url: "https://api.302.ai/v1", provider: "302ai", suffix: "/v1"},
	{url: "https://api.cerebras.ai/v1", provider: "cerebras"},
	{url: "https://api.cloudflare.com/client/v4/accounts/{workers-ai-account-id}/ai/run", provider: "workers-ai"},
	{url: "https://api.cloudflare.com/client/v4/accounts/{workers-ai-account-id}/ai/v1", provider: "workers-ai", translatedOnly: true},
	{url: "https://api.cohere.ai/compatibility/v1", provider: "cohere", suffix: "/compatibility/v1"},
	{url: "https://api.cohere.ai", provider: "cohere"},
	{url: "https://api.cohere.com/compatibility/v1", provider: "cohere", suffix: "/compatibility/v1", customHost: true},
	{url: "https://api.cohere.com", provider: "cohere", customHost: true},
	{url: "https://api.cometapi.com/v1", provider: "cometapi"},
	{url: "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", provider: "dashscope"},
	{url: "https://api.deepinfra.com/v1/openai", provider: "deepinfra"},
	{url: "https://api.deepseek.com/v1", provider: "deepseek", suffix: "/v1"},
	{url: "https://api.deepseek.com", provider: "deepseek"},
	{url: "https://api.featherless.ai/v1", provider: "featherless-ai"},
	{url: "https://api.fireworks.ai/inference/v1", provider: "fireworks-ai", translatedOnly: true},
	{url: "https://api.fireworks.ai/v1/accounts/{fireworks-account-id}", provider: "fireworks-ai"},
	{url: "https://models.inference.ai.azure.com", provider: "github"},
	{url: "https://api.groq.com/openai/v1", provider: "groq"},
	{url: "https://api.hyperbolic.xyz/v1", provider: "hyperbolic", suffix: "/v1"},
	{url: "https://api.inference.net/v1", provider: "inference-net"},
	{url: "https://api.intelligence.io.solutions/api/v1", provider: "iointelligence"},
	{url: "https://api.jina.ai/v1", provider: "jina"},
	{url: "https://api.kluster.ai/v1", provider: "kluster-ai"},
	{url: "https://cloud.olakrutrim.com/v1", provider: "krutrim"},
	{url: "https://api.lemonfox.ai/v1", provider: "lemonfox-ai"},
	{url: "https://api.lingyiwanwu.com/v1", provider: "lingyi", suffix: "/v1"},
	{url: "https://api.mistral.ai/v1", provider: "mistral-ai"},
	{url: "https://llm.monsterapi.ai/v1", provider: "monsterapi"},
	{url: "https://api.moonshot.cn/v1", provider: "moonshot", suffix: "/v1"},
	{url: "https://api.studio.nebius.ai/v1", provider: "nebius"},
	{url: "https://api-atlas.nomic.ai/v1", provider: "nomic"},
	{url: "https://api.novita.ai/v3/openai", provider: "novita-ai"},
	{url: "https://inference.api.nscale.com/v1", provider: "nscale"},
	{url: "https://openrouter.ai/api/v1", provider: "openrouter", suffix: "/v1"},
	{url: "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1", provider: "ovhcloud"},
	{url: "https://api.perplexity.ai", provider: "perplexity-ai"},
	{url: "https://external.api.recraft.ai/v1", provider: "recraft-ai"},
	{url: "https://api.replicate.com/v1", provider: "replicate"},
	{url: "https://api.sambanova.ai/v1", provider: "sambanova", suffix: "/v1"},
	{url: "https://api.siliconflow.cn/v1", provider: "siliconflow"},
	{url: "https://api.together.xyz/v1", provider: "together-ai", suffix: "/v1"},
	{url: "https://api.together.ai/v1", provider: "together-ai", suffix: "/v1", customHost: true},
	{url: "https://api.upstage.ai/v1/solar", provider: "upstage"},
	{url: "https://api.voyageai.com/v1", provider: "voyage"},
	{url: "https://api.x.ai/v1", provider: "x-ai"},
	{url: "https://api.z.ai/api/paas/v4", provider: "z-ai"},
	{url: "https://open.bigmodel.cn/api/paas/v4", provider: "zhipu"},
}

// translatedEndpoints are the endpoints that the gateway translates for each
// provider.
var translatedEndpoints = map[string]bool{
	"/chat/completions": true, "/completions": true, "/embeddings": true, "/images/generations": true,
	"/messages": true, "/messages/count_tokens": true,
}

// routedEndpoints are further endpoints that the gateway has a route for, but
// does not translate. If the provider lacks one of them, the gateway calls the
// provider's bare base URL.
var routedEndpoints = []string{"/audio", "/batches", "/files", "/fine_tuning/jobs", "/images/edits", "/responses"}
