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
	// url is the base URL as clients use it. It may have a {name} as one label of its
	// host or as the start of one, and as segments of its path. The name stands for
	// characters of that label or segment, and implies the header x-portkey-name.
	url string
	// provider is the gateway's name for the provider.
	provider string
	// suffix is the end of url that the gateway's base URL for the provider lacks.
	suffix string
	// base is set if the gateway does not call url by default. It is the key of the
	// header in which the gateway reads its base URL: url without suffix.
	base string
	// implies is a further header that the row implies.
	implies Header
	// except is a value that the name in the host must not have: the gateway calls
	// another host for it.
	except string
	// translatedOnly limits the row to the translated endpoints: the gateway calls
	// the others under another URL.
	translatedOnly bool
	// special is set if the provider's clients differ from OpenAI's.
	special *Special
}

// The headers in which the gateway reads a base URL.
const (
	customHost = "X-Portkey-Custom-Host"
	foundryURL = "X-Portkey-Azure-Foundry-Url"
)

// A Special describes what the clients of a provider do differently from OpenAI's,
// which send their API key as Authorization: Bearer.
type Special struct {
	KeyHeader   string // the request header that holds the API key; "": Authorization
	TokenHeader string // the header in which the gateway reads an OAuth token, which clients send in Authorization
	KeyQuery    string // the query parameter that may hold the API key; "": none
	WithBearer  Header // the header that the gateway needs beside Authorization: Bearer; zero: none
	IsSigned    bool   // Authorization may be an AWS signature: see SignatureHeaders

	query, queryHeader string // a query parameter, and the header that it implies if ReadsCredential(endpoint)
}

var (
	azure = &Special{
		KeyHeader:   "Api-Key",
		TokenHeader: "X-Portkey-Azure-Ad-Token",
		query:       "api-version",
		queryHeader: "X-Portkey-Azure-Api-Version",
	}
	google  = &Special{KeyQuery: "key"}
	bedrock = &Special{
		WithBearer: Header{"X-Portkey-Aws-Auth-Type", "apiKey"},
		IsSigned:   true,
	}
)

// The table of base URLs. TestGatewayCallsWhatTheClientAskedFor in interop/
// compares, for each row, the URL that the client requests with the URL that the
// real gateway calls. The tables in docs/providers.md are generated from it, with the
// comments: above a group its heading and its introduction, behind a row a note.
var rows = []row{
	// OpenAI
	// The hosts of regions have a custom host: by default, the gateway calls api.openai.com, and the data would leave the region.
	{url: "https://api.openai.com/v1", provider: "openai"},
	{url: "https://ae.api.openai.com/v1", provider: "openai", base: customHost},
	{url: "https://au.api.openai.com/v1", provider: "openai", base: customHost},
	{url: "https://ca.api.openai.com/v1", provider: "openai", base: customHost},
	{url: "https://eu.api.openai.com/v1", provider: "openai", base: customHost},
	{url: "https://gb.api.openai.com/v1", provider: "openai", base: customHost},
	{url: "https://in.api.openai.com/v1", provider: "openai", base: customHost},
	{url: "https://jp.api.openai.com/v1", provider: "openai", base: customHost},
	{url: "https://kr.api.openai.com/v1", provider: "openai", base: customHost},
	{url: "https://sg.api.openai.com/v1", provider: "openai", base: customHost},
	{url: "https://us.api.openai.com/v1", provider: "openai", base: customHost},
	{url: "https://mtls.api.openai.com/v1", provider: "openai", base: customHost}, // the client certificate must be the gateway's

	// Anthropic, and APIs that are compatible with it
	// The gateway translates chat completions to Messages, and sends an API key or a token in x-api-key.
	{url: "https://api.anthropic.com/v1", provider: "anthropic"},
	{url: "https://open.bigmodel.cn/api/anthropic/v1", provider: "anthropic", base: customHost},
	{url: "https://api.deepseek.com/anthropic/v1", provider: "anthropic", base: customHost},
	{url: "https://api.kimi.com/coding/v1", provider: "anthropic", base: customHost},
	{url: "https://api.minimax.io/anthropic/v1", provider: "anthropic", base: customHost},
	{url: "https://api.minimaxi.com/anthropic/v1", provider: "anthropic", base: customHost},
	{url: "https://api.moonshot.ai/anthropic/v1", provider: "anthropic", base: customHost},
	{url: "https://api.moonshot.cn/anthropic/v1", provider: "anthropic", base: customHost},
	{url: "https://api.z.ai/api/anthropic/v1", provider: "anthropic", base: customHost},

	// Microsoft Azure
	{url: "https://{azure-resource-name}.openai.azure.com/openai/deployments/{azure-deployment-id}", provider: "azure-openai", suffix: "/deployments/{azure-deployment-id}", special: azure},
	{url: "https://{azure-resource-name}.openai.azure.com/openai", provider: "azure-openai", special: azure},
	{url: "https://{azure-resource-name}.cognitiveservices.azure.com/openai/deployments/{azure-deployment-id}", provider: "azure-openai", suffix: "/deployments/{azure-deployment-id}", base: customHost, special: azure},
	{url: "https://{azure-resource-name}.cognitiveservices.azure.com/openai", provider: "azure-openai", base: customHost, special: azure},
	{url: "https://{azure-resource-name}.services.ai.azure.com/openai/deployments/{azure-deployment-id}", provider: "azure-openai", suffix: "/deployments/{azure-deployment-id}", base: customHost, special: azure},
	{url: "https://{azure-resource-name}.services.ai.azure.com/openai", provider: "azure-openai", base: customHost, special: azure},
	{url: "https://{azure-resource-name}.services.ai.azure.com/models", provider: "azure-ai", base: foundryURL, special: azure},
	{url: "https://{azure-resource-name}.services.ai.azure.com/anthropic/v1", provider: "anthropic", base: customHost}, // takes no Entra token, which the gateway sends in x-api-key

	// Google
	// Vertex AI has its own API, and one that is compatible with OpenAI below /endpoints/openapi.
	{url: "https://generativelanguage.googleapis.com/v1beta/openai", provider: "google", suffix: "/v1beta/openai", special: google},
	{url: "https://generativelanguage.googleapis.com", provider: "google", special: google}, // Gemini's own API
	{url: "https://aiplatform.googleapis.com", provider: "vertex-ai", implies: Header{"X-Portkey-Vertex-Region", "global"}, special: google},
	{url: "https://{vertex-region}-aiplatform.googleapis.com", provider: "vertex-ai", except: "global", special: google}, // for region global, the gateway calls aiplatform.googleapis.com
	{url: "https://aiplatform.{vertex-region}.rep.googleapis.com", provider: "vertex-ai", base: customHost, special: google},
	{url: "https://aiplatform.googleapis.com/v1/publishers", provider: "google", suffix: "/v1/publishers", base: customHost, special: google}, // by an API key: provider vertex-ai would send "Bearer undefined" as well
	{url: "https://aiplatform.googleapis.com/v1beta1/publishers", provider: "google", suffix: "/v1beta1/publishers", base: customHost, special: google},

	// Amazon Bedrock
	// The gateway encodes JSON again. Some characters in a prompt then invalidate an AWS signature, and AWS answers with an error: see docs/clients.md.
	{url: "https://bedrock-runtime.{aws-region}.amazonaws.com", provider: "bedrock", special: bedrock}, // Converse, InvokeModel, and below /openai/v1 the API that is compatible with OpenAI
	{url: "https://bedrock-runtime-fips.{aws-region}.amazonaws.com", provider: "bedrock", base: customHost, special: bedrock},

	// Other providers of the gateway
	{url: "https://api.302.ai/v1", provider: "302ai", suffix: "/v1"},
	{url: "https://api.cerebras.ai/v1", provider: "cerebras"},
	{url: "https://api.cloudflare.com/client/v4/accounts/{workers-ai-account-id}/ai/run", provider: "workers-ai"},
	{url: "https://api.cloudflare.com/client/v4/accounts/{workers-ai-account-id}/ai/v1", provider: "workers-ai", translatedOnly: true},
	{url: "https://api.cohere.ai/compatibility/v1", provider: "cohere", suffix: "/compatibility/v1"},
	{url: "https://api.cohere.ai", provider: "cohere"},
	{url: "https://api.cohere.com/compatibility/v1", provider: "cohere", suffix: "/compatibility/v1", base: customHost},
	{url: "https://api.cohere.com", provider: "cohere", base: customHost},
	{url: "https://api.cometapi.com/v1", provider: "cometapi"},
	{url: "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", provider: "dashscope"},
	{url: "https://dashscope-us.aliyuncs.com/compatible-mode/v1", provider: "dashscope", base: customHost},
	{url: "https://dashscope.aliyuncs.com/compatible-mode/v1", provider: "dashscope", base: customHost},
	{url: "https://api.deepinfra.com/v1/openai", provider: "deepinfra"},
	{url: "https://api.deepseek.com/v1", provider: "deepseek", suffix: "/v1"},
	{url: "https://api.deepseek.com", provider: "deepseek"},
	{url: "https://api.featherless.ai/v1", provider: "featherless-ai"},
	{url: "https://api.fireworks.ai/inference/v1", provider: "fireworks-ai", translatedOnly: true},
	{url: "https://api.fireworks.ai/v1/accounts/{fireworks-account-id}", provider: "fireworks-ai"},
	{url: "https://models.inference.ai.azure.com", provider: "github"},
	{url: "https://models.github.ai/inference", provider: "github", base: customHost},
	{url: "https://api.groq.com/openai/v1", provider: "groq"},
	{url: "https://api.hyperbolic.xyz/v1", provider: "hyperbolic", suffix: "/v1"},
	{url: "https://api.inference.net/v1", provider: "inference-net"},
	{url: "https://api.intelligence.io.solutions/api/v1", provider: "iointelligence"},
	{url: "https://api.jina.ai/v1", provider: "jina"},
	{url: "https://api.kluster.ai/v1", provider: "kluster-ai"},
	{url: "https://cloud.olakrutrim.com/v1", provider: "krutrim"},
	{url: "https://api.lambda.ai/v1", provider: "lambda", base: customHost},
	{url: "https://api.lemonfox.ai/v1", provider: "lemonfox-ai"},
	{url: "https://api.lingyiwanwu.com/v1", provider: "lingyi", suffix: "/v1"},
	{url: "https://api.mistral.ai/v1", provider: "mistral-ai"},
	{url: "https://codestral.mistral.ai/v1", provider: "mistral-ai", base: customHost},
	{url: "https://llm.monsterapi.ai/v1", provider: "monsterapi"},
	{url: "https://api.moonshot.cn/v1", provider: "moonshot", suffix: "/v1"},
	{url: "https://api.moonshot.ai/v1", provider: "moonshot", suffix: "/v1", base: customHost},
	{url: "https://api.studio.nebius.ai/v1", provider: "nebius"},
	{url: "https://api.tokenfactory.nebius.com/v1", provider: "nebius", base: customHost},
	{url: "https://api-atlas.nomic.ai/v1", provider: "nomic"},
	{url: "https://api.novita.ai/v3/openai", provider: "novita-ai"},                                  // the gateway sets max_tokens to 128 if the request has none
	{url: "https://api.novita.ai/openai/v1", provider: "novita-ai", suffix: "/v1", base: customHost}, // the gateway sets max_tokens to 128 if the request has none
	{url: "https://inference.api.nscale.com/v1", provider: "nscale"},
	{url: "https://openrouter.ai/api/v1", provider: "openrouter", suffix: "/v1"},
	{url: "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1", provider: "ovhcloud"},
	{url: "https://api.perplexity.ai", provider: "perplexity-ai"},
	{url: "https://external.api.recraft.ai/v1", provider: "recraft-ai"},
	{url: "https://api.replicate.com/v1", provider: "replicate"},
	{url: "https://api.sambanova.ai/v1", provider: "sambanova", suffix: "/v1"},
	{url: "https://api.siliconflow.cn/v1", provider: "siliconflow"},
	{url: "https://api.siliconflow.com/v1", provider: "siliconflow", base: customHost},
	{url: "https://api.together.xyz/v1", provider: "together-ai", suffix: "/v1"},                  // the gateway sets max_tokens to 128 if the request has none
	{url: "https://api.together.ai/v1", provider: "together-ai", suffix: "/v1", base: customHost}, // the gateway sets max_tokens to 128 if the request has none
	{url: "https://api.upstage.ai/v1/solar", provider: "upstage"},
	{url: "https://api.upstage.ai/v1", provider: "upstage", base: customHost},
	{url: "https://api.upstage.ai", provider: "upstage", base: customHost},
	{url: "https://api.voyageai.com/v1", provider: "voyage"},
	{url: "https://api.x.ai/v1", provider: "x-ai"},
	{url: "https://api.z.ai/api/paas/v4", provider: "z-ai"},
	{url: "https://api.z.ai/api/coding/paas/v4", provider: "z-ai", base: customHost},
	{url: "https://open.bigmodel.cn/api/paas/v4", provider: "zhipu"},
	{url: "https://open.bigmodel.cn/api/coding/paas/v4", provider: "zhipu", base: customHost},

	// APIs that are compatible with OpenAI
	// The gateway has no provider for them, or one that calls another URL.
	{url: "https://api.ai21.com/studio/v1", provider: "openai", base: customHost}, // provider ai21 calls another API
	{url: "https://api.baichuan-ai.com/v1", provider: "openai", base: customHost},
	{url: "https://inference.baseten.co/v1", provider: "openai", base: customHost},
	{url: "https://llm.chutes.ai/v1", provider: "openai", base: customHost},
	{url: "https://router.huggingface.co/v1", provider: "openai", base: customHost}, // provider huggingface has no embeddings
	{url: "https://api.hunyuan.cloud.tencent.com/v1", provider: "openai", base: customHost},
	{url: "https://api.inceptionlabs.ai/v1", provider: "openai", base: customHost},
	{url: "https://api.llama.com/compat/v1", provider: "openai", base: customHost},
	{url: "https://api.minimax.io/v1", provider: "openai", base: customHost},
	{url: "https://api.minimaxi.com/v1", provider: "openai", base: customHost},
	{url: "https://api-inference.modelscope.cn/v1", provider: "openai", base: customHost},
	{url: "https://api.morphllm.com/v1", provider: "openai", base: customHost},
	{url: "https://integrate.api.nvidia.com/v1", provider: "openai", base: customHost},
	{url: "https://qianfan.baidubce.com/v2", provider: "openai", base: customHost},
	{url: "https://api.scaleway.ai/v1", provider: "openai", base: customHost},
	{url: "https://api.stepfun.com/v1", provider: "openai", base: customHost},
	{url: "https://api.venice.ai/api/v1", provider: "openai", base: customHost},
	{url: "https://ark.cn-beijing.volces.com/api/v3", provider: "openai", base: customHost},
	{url: "https://api.inference.wandb.ai/v1", provider: "openai", base: customHost},
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
