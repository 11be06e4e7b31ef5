package portkeytest

import (
	"path"
	"slices"
	"strings"
)

// knownProviders lists the provider names that the gateway accepts, in the order in which it lists them in an error.
// TestPortkeytestKnowsTheProvidersThatTheGatewayKnows in interop/ compares the three lists below with the gateway.
var knownProviders = strings.Fields(`anthropic anyscale azure-openai cohere google vertex-ai mistral-ai openai palm
	perplexity-ai reka-ai together-ai deepinfra ncompass stability-ai nomic ollama ai21 bedrock groq segmind jina
	fireworks-ai workers-ai moonshot openrouter lingyi zhipu novita-ai monsterapi deepseek predibase triton voyage
	azure-ai github deepbricks siliconflow huggingface cerebras inference-net sambanova lemonfox-ai upstage lambda
	dashscope x-ai cortex sagemaker nebius recraft-ai milvus replicate portkey lepton kluster-ai nscale hyperbolic
	bytez featherless-ai krutrim qdrant 302ai cometapi matterai meshy tripo3d nextbit modal z-ai oracle
	iointelligence aibadgr ovhcloud`)

const (
	// unimplementedProviders are accepted by name, but every request to them is a gateway exception.
	unimplementedProviders = "cortex portkey"
	// providersWithoutChat do not support chat completions.
	providersWithoutChat = "jina meshy milvus nomic qdrant recraft-ai replicate sagemaker segmind tripo3d triton voyage"
)

// An endpoint is one that the gateway translates between providers. It proxies requests to any other path unchanged.
type endpoint struct {
	method        string // "" matches any
	path          string // a path.Match pattern, relative to /v1/
	name          string // as in the gateway's error messages
	body          bodyType
	providers     string // that support the endpoint; "" for all that support chat
	ifUnsupported unsupportedAction
	unchangedFrom string // providers whose responses the gateway does not translate; "*" for all
}

type bodyType int

const (
	anyBody bodyType = iota
	jsonBody
	formBody // multipart/form-data
)

// An unsupportedAction is what the gateway does if the provider does not support the endpoint.
type unsupportedAction int

const (
	rejectRequest unsupportedAction = iota
	callBaseURL                     // call the provider's base URL without the endpoint's path
)

const openAIAndAzure = "azure-openai openai"

var translatedEndpoints = []endpoint{
	{"POST", "chat/completions", "chatComplete", jsonBody, "", rejectRequest, ""},
	{"POST", "completions", "complete", jsonBody, `ai21 anthropic anyscale azure-ai azure-openai cohere featherless-ai
		fireworks-ai github huggingface lambda lepton modal nebius nextbit novita-ai openai palm stability-ai
		together-ai triton workers-ai x-ai`, rejectRequest, ""},
	{"POST", "embeddings", "embed", jsonBody, `ai21 anyscale azure-ai azure-openai cohere cometapi dashscope
		fireworks-ai github google iointelligence jina kluster-ai mistral-ai nebius nomic ollama openai palm siliconflow
		stability-ai together-ai upstage vertex-ai voyage workers-ai x-ai zhipu`, rejectRequest, "openai"},
	{"POST", "messages", "messages", jsonBody, "anthropic azure-ai bedrock stability-ai", rejectRequest, ""},
	{"POST", "messages/count_tokens", "messagesCountTokens", jsonBody,
		"anthropic bedrock stability-ai", rejectRequest, "*"},
	{"POST", "responses", "createModelResponse", jsonBody,
		"azure-openai iointelligence openai stability-ai", rejectRequest, ""},
	{"POST", "images/generations", "imageGenerate", jsonBody, `azure-ai azure-openai deepbricks fireworks-ai hyperbolic
		lemonfox-ai nscale openai recraft-ai segmind siliconflow stability-ai vertex-ai
		workers-ai`, rejectRequest, ""},
	{"POST", "audio/speech", "createSpeech", jsonBody,
		"azure-ai azure-openai groq openai stability-ai", rejectRequest, ""},
	{"POST", "batches", "createBatch", jsonBody,
		"azure-ai azure-openai bedrock cohere openai stability-ai vertex-ai", rejectRequest, ""},
	{"POST", "fine_tuning/jobs", "createFinetune", jsonBody,
		"azure-ai azure-openai bedrock fireworks-ai openai stability-ai vertex-ai", rejectRequest, ""},

	{"POST", "images/edits", "imageEdit", formBody, openAIAndAzure, callBaseURL, "*"},
	{"POST", "audio/transcriptions", "createTranscription", formBody, openAIAndAzure + " groq", callBaseURL, "groq"},
	{"POST", "audio/translations", "createTranslation", formBody, openAIAndAzure + " groq", callBaseURL, "groq"},
	{"POST", "files", "uploadFile", anyBody, openAIAndAzure, callBaseURL, ""},
	{"GET", "files", "listFiles", anyBody, openAIAndAzure, callBaseURL, ""},
	{"GET", "files/*", "retrieveFile", anyBody, openAIAndAzure, callBaseURL, ""},
	{"GET", "files/*/content", "retrieveFileContent", anyBody, openAIAndAzure, callBaseURL, ""},
	{"DELETE", "files/*", "deleteFile", anyBody, openAIAndAzure, callBaseURL, ""},
	{"GET", "batches", "listBatches", anyBody, openAIAndAzure, callBaseURL, ""},
	{"GET", "batches/*", "retrieveBatch", anyBody, openAIAndAzure, callBaseURL, ""},
	{"POST", "batches/*/cancel", "cancelBatch", anyBody, openAIAndAzure, callBaseURL, ""},
	{"GET", "responses/*", "getModelResponse", anyBody, openAIAndAzure, callBaseURL, ""},
	{"DELETE", "responses/*", "deleteModelResponse", anyBody, openAIAndAzure, callBaseURL, ""},
	{"GET", "fine_tuning/jobs/*", "retrieveFinetune", anyBody, openAIAndAzure, callBaseURL, ""},
	{"", "fine_tuning/jobs", "listFinetunes", anyBody, openAIAndAzure, callBaseURL, "*"},
	{"", "fine_tuning/jobs/*", "listFinetunes", anyBody, openAIAndAzure, callBaseURL, "*"},
	{"", "fine_tuning/jobs/*/*", "cancelFinetune", anyBody, openAIAndAzure, callBaseURL, "*"},
}

// findEndpoint returns the translated endpoint for a request, or nil if the gateway proxies the request. It reports
// false if the gateway has no route for the request.
func findEndpoint(method, urlPath string) (e *endpoint, found bool) {
	relativePath, isV1 := strings.CutPrefix(urlPath, "/v1/")
	if method == "HEAD" {
		method = "GET"
	}
	for i := range translatedEndpoints {
		e := &translatedEndpoints[i]
		match, _ := path.Match(e.path, relativePath)
		if match && isV1 && (e.method == "" || e.method == method) {
			return e, true
		}
	}
	switch method {
	case "GET":
		return nil, isV1 && !strings.HasPrefix(relativePath, "realtime")
	case "POST", "DELETE":
		return nil, isV1 || urlPath == "/v1"
	}
	return nil, false
}

// supportedBy reports whether a provider supports the endpoint. A saved provider is assumed to support every endpoint.
func (e *endpoint) supportedBy(provider string) bool {
	switch {
	case isSavedProvider(provider):
		return true
	case e.providers == "":
		return !inList(provider, providersWithoutChat)
	}
	return inList(provider, e.providers)
}

// inList reports whether a space-separated list contains a name.
func inList(name, list string) bool { return slices.Contains(strings.Fields(list), name) }

func isKnownProvider(provider string) bool {
	return isSavedProvider(provider) || slices.Contains(knownProviders, provider)
}

// isSavedProvider reports whether a provider is the "@slug" of one saved at Portkey.
func isSavedProvider(provider string) bool { return strings.HasPrefix(provider, "@") }
