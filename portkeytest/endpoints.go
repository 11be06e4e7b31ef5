package portkeytest

import (
	"path"
	"slices"
	"strings"
)

// providers are those that the gateway knows, in its order.
var providers = strings.Fields(`anthropic anyscale azure-openai cohere google vertex-ai mistral-ai openai palm perplexity-ai reka-ai together-ai
	deepinfra ncompass stability-ai nomic ollama ai21 bedrock groq segmind jina fireworks-ai workers-ai moonshot
	openrouter lingyi zhipu novita-ai monsterapi deepseek predibase triton voyage azure-ai github deepbricks
	siliconflow huggingface cerebras inference-net sambanova lemonfox-ai upstage lambda dashscope x-ai cortex
	sagemaker nebius recraft-ai milvus replicate portkey lepton kluster-ai nscale hyperbolic bytez featherless-ai
	krutrim qdrant 302ai cometapi matterai meshy tripo3d nextbit modal z-ai oracle iointelligence aibadgr ovhcloud`)

const (
	// notThere are those of which the gateway knows the name and nothing else.
	notThere = "cortex portkey"
	// noChat are those that have no chat completions.
	noChat = "jina meshy milvus nomic qdrant recraft-ai replicate sagemaker segmind tripo3d triton voyage"
)

// An endpoint is one that the gateway unifies over the providers. What is none it
// hands on as it is.
type endpoint struct {
	method    string // "" for any
	path      string // behind /v1/; a * is one part of it
	name      string // in the gateway's messages
	body      string // what it has to be: json, form, or "" for anything
	providers string // the providers that have it; "" for all that have chat
	otherwise string // what is done for others: refused, or called at their base URL
	verbatim  string // the providers whose answers are handed on as they are; * for all
}

const (
	refused = "refused"
	called  = "called"

	openAIs = "azure-openai openai"
)

var endpoints = []endpoint{
	{"POST", "chat/completions", "chatComplete", "json", "", refused, ""},
	{"POST", "completions", "complete", "json", `ai21 anthropic anyscale azure-ai azure-openai cohere featherless-ai
		fireworks-ai github huggingface lambda lepton modal nebius nextbit novita-ai openai palm stability-ai together-ai
		triton workers-ai x-ai`, refused, ""},
	{"POST", "embeddings", "embed", "json", `ai21 anyscale azure-ai azure-openai cohere cometapi dashscope fireworks-ai
		github google iointelligence jina kluster-ai mistral-ai nebius nomic ollama openai palm siliconflow stability-ai
		together-ai upstage vertex-ai voyage workers-ai x-ai zhipu`, refused, "openai"},
	{"POST", "messages", "messages", "json", "anthropic azure-ai bedrock stability-ai", refused, ""},
	{"POST", "messages/count_tokens", "messagesCountTokens", "json", "anthropic bedrock stability-ai", refused, "*"},
	{"POST", "responses", "createModelResponse", "json", "azure-openai iointelligence openai stability-ai", refused, ""},
	{"POST", "images/generations", "imageGenerate", "json", `azure-ai azure-openai deepbricks fireworks-ai hyperbolic
		lemonfox-ai nscale openai recraft-ai segmind siliconflow stability-ai vertex-ai workers-ai`, refused, ""},
	{"POST", "audio/speech", "createSpeech", "json", "azure-ai azure-openai groq openai stability-ai", refused, ""},
	{"POST", "batches", "createBatch", "json", "azure-ai azure-openai bedrock cohere openai stability-ai vertex-ai", refused, ""},
	{"POST", "fine_tuning/jobs", "createFinetune", "json",
		"azure-ai azure-openai bedrock fireworks-ai openai stability-ai vertex-ai", refused, ""},

	{"POST", "images/edits", "imageEdit", "form", openAIs, called, "*"},
	{"POST", "audio/transcriptions", "createTranscription", "form", openAIs + " groq", called, "groq"},
	{"POST", "audio/translations", "createTranslation", "form", openAIs + " groq", called, "groq"},
	{"POST", "files", "uploadFile", "", openAIs, called, ""},
	{"GET", "files", "listFiles", "", openAIs, called, ""},
	{"GET", "files/*", "retrieveFile", "", openAIs, called, ""},
	{"GET", "files/*/content", "retrieveFileContent", "", openAIs, called, ""},
	{"DELETE", "files/*", "deleteFile", "", openAIs, called, ""},
	{"GET", "batches", "listBatches", "", openAIs, called, ""},
	{"GET", "batches/*", "retrieveBatch", "", openAIs, called, ""},
	{"POST", "batches/*/cancel", "cancelBatch", "", openAIs, called, ""},
	{"GET", "responses/*", "getModelResponse", "", openAIs, called, ""},
	{"DELETE", "responses/*", "deleteModelResponse", "", openAIs, called, ""},
	{"GET", "fine_tuning/jobs/*", "retrieveFinetune", "", openAIs, called, ""},
	{"", "fine_tuning/jobs", "listFinetunes", "", openAIs, called, "*"},
	{"", "fine_tuning/jobs/*", "listFinetunes", "", openAIs, called, "*"},
	{"", "fine_tuning/jobs/*/*", "cancelFinetune", "", openAIs, called, "*"},
}

// endpointOf returns the endpoint of a request, nil if it is to be handed on. It
// is not ok where the gateway has nothing.
func endpointOf(method, urlPath string) (e *endpoint, ok bool) {
	rest, ok := strings.CutPrefix(urlPath, "/v1/")
	if method == "HEAD" {
		method = "GET"
	}
	for i := range endpoints {
		e := &endpoints[i]
		if match, _ := path.Match(e.path, rest); match && ok && (e.method == "" || e.method == method) {
			return e, true
		}
	}
	switch method {
	case "GET":
		return nil, ok && !strings.HasPrefix(rest, "realtime")
	case "POST", "DELETE":
		return nil, ok || urlPath == "/v1"
	}
	return nil, false
}

// of reports whether a provider has the endpoint. One that is set up at Portkey has all.
func (e *endpoint) of(provider string) bool {
	switch {
	case isHeld(provider):
		return true
	case e.providers == "":
		return !has(noChat, provider)
	}
	return has(e.providers, provider)
}

// has reports whether a list of names has one.
func has(list, name string) bool { return slices.Contains(strings.Fields(list), name) }

// isHeld reports whether a provider is one that is set up at Portkey.
func isHeld(provider string) bool { return strings.HasPrefix(provider, "@") }
