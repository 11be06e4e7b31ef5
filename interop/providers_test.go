package interop

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/interop/internal/realgateway"
)

// A calls is what the gateway does with what a client asks for under a base URL:
// "" where it calls that very URL, else the URL that it calls, or one of the constants.
type calls struct {
	base, chat, embeddings, models, proxied string
	same                                    []string // further endpoints, with their methods, of which it calls that very URL
}

const (
	lacks   = "is not supported by" // the gateway does not know the provider to have it, and answers 500
	refused = "portkey: "           // it would call another URL, so the Transport refuses it
	none    = "-"                   // there is no such endpoint
)

var (
	openAICalls = []string{
		"POST /completions", "POST /images/generations", "POST /audio/speech", "POST /responses", "GET /responses/r1", "DELETE /responses/r1", "GET /responses/r1/input_items",
		"GET /files", "GET /files/f1", "DELETE /files/f1", "GET /files/f1/content", "POST /batches", "GET /batches/b1", "POST /fine_tuning/jobs", "GET /fine_tuning/jobs/j1", "POST /moderations",
	}
	anthropicCalls = []string{"POST /messages", "POST /messages/count_tokens", "GET /messages/batches", "POST /messages/batches"}
	azureCalls     = []string{"POST /audio/speech?api-version=2024-06-01"}
	azureV1Calls   = []string{"POST /v1/chat/completions", "POST /v1/embeddings", "GET /v1/models", "POST /v1/responses", "GET /v1/files", "GET /models?api-version=2024-10-21",
		"POST /v1/chat/completions?api-version=preview", "POST /responses?api-version=2025-03-01-preview", "GET /files?api-version=2024-10-21"}
	vertexCalls = []string{
		"POST /v1/projects/p/locations/l/publishers/google/models/gemini:generateContent", "POST /v1beta1/projects/p/locations/l/publishers/google/models/gemini:streamGenerateContent?alt=sse",
		"POST /v1/projects/p/locations/l/publishers/anthropic/models/claude@20250514:rawPredict", "POST /v1/projects/p/locations/l/endpoints/openapi/chat/completions",
		"POST /v1/projects/p/locations/l/endpoints/openapi/embeddings", "GET /v1/projects/p/locations/l/cachedContents?pageSize=2", "DELETE /v1/projects/p/locations/l/cachedContents/c1",
	}
	bedrockCalls = []string{
		"POST /model/amazon.nova-lite-v1%3A0/converse", "POST /model/m1/converse-stream", "POST /model/m1/invoke", "POST /model/m1/invoke-with-response-stream", "POST /model/m1/count-tokens",
		"POST /guardrail/g/version/1/apply", "GET /async-invoke?maxResults=1", "POST /openai/v1/chat/completions", "POST /openai/v1/responses",
	}
)

var providerCalls = []calls{
	{base: "https://api.openai.com/v1", same: openAICalls},
	{base: "https://ae.api.openai.com/v1", same: openAICalls},
	{base: "https://au.api.openai.com/v1", same: openAICalls},
	{base: "https://ca.api.openai.com/v1", same: openAICalls},
	{base: "https://eu.api.openai.com/v1", same: openAICalls},
	{base: "https://gb.api.openai.com/v1", same: openAICalls},
	{base: "https://in.api.openai.com/v1", same: openAICalls},
	{base: "https://jp.api.openai.com/v1", same: openAICalls},
	{base: "https://kr.api.openai.com/v1", same: openAICalls},
	{base: "https://sg.api.openai.com/v1", same: openAICalls},
	{base: "https://us.api.openai.com/v1", same: openAICalls},
	{base: "https://mtls.api.openai.com/v1", same: openAICalls},
	{base: "https://api.anthropic.com/v1", chat: "https://api.anthropic.com/v1/messages", embeddings: lacks, same: anthropicCalls},
	{base: "https://myres.openai.azure.com/openai/deployments/dep-1.5_x", chat: "https://myres.openai.azure.com/openai/deployments/dep-1.5_x/chat/completions?", embeddings: "https://myres.openai.azure.com/openai/deployments/dep-1.5_x/embeddings?"},
	{base: "https://myres.openai.azure.com/openai", chat: none, embeddings: none, same: azureV1Calls},
	{base: "https://myres.cognitiveservices.azure.com/openai/deployments/dep-1.5_x", chat: "https://myres.cognitiveservices.azure.com/openai/deployments/dep-1.5_x/chat/completions?", embeddings: "https://myres.cognitiveservices.azure.com/openai/deployments/dep-1.5_x/embeddings?", same: azureCalls},
	{base: "https://myres.cognitiveservices.azure.com/openai", chat: none, embeddings: none, same: azureV1Calls},
	{base: "https://myres.services.ai.azure.com/openai/deployments/dep-1.5_x", chat: "https://myres.services.ai.azure.com/openai/deployments/dep-1.5_x/chat/completions?", embeddings: "https://myres.services.ai.azure.com/openai/deployments/dep-1.5_x/embeddings?", same: azureCalls},
	{base: "https://myres.services.ai.azure.com/openai", chat: none, embeddings: none, same: azureV1Calls},
	{base: "https://myres.services.ai.azure.com/models", chat: "https://myres.services.ai.azure.com/models/chat/completions?", embeddings: "https://myres.services.ai.azure.com/models/embeddings?", same: []string{
		"POST /chat/completions?api-version=2024-05-01-preview", "POST /embeddings?api-version=2024-05-01-preview", "GET /info?api-version=2024-05-01-preview"}},
	{base: "https://myres.services.ai.azure.com/anthropic/v1", chat: "https://myres.services.ai.azure.com/anthropic/v1/messages", embeddings: lacks, same: anthropicCalls},
	{base: "https://generativelanguage.googleapis.com/v1beta/openai", chat: "https://generativelanguage.googleapis.com/v1beta/models/m1:generateContent?key=sk-test", embeddings: "https://generativelanguage.googleapis.com/v1beta/models/m1:embedContent?key=sk-test"},
	{base: "https://generativelanguage.googleapis.com", chat: none, embeddings: none},
	{base: "https://europe-west4-aiplatform.googleapis.com", chat: none, embeddings: none, same: vertexCalls},
	{base: "https://aiplatform.googleapis.com/v1/publishers", chat: none, embeddings: none, same: []string{"POST /google/models/gemini:generateContent"}},
	{base: "https://aiplatform.googleapis.com/v1beta1/publishers", chat: none, embeddings: none, same: []string{"POST /google/models/gemini:streamGenerateContent?alt=sse"}},
	{base: "https://aiplatform.googleapis.com", chat: none, embeddings: none, same: vertexCalls},
	{base: "https://aiplatform.eu.rep.googleapis.com", chat: none, embeddings: none, same: vertexCalls},
	{base: "https://bedrock-runtime.eu-west-1.amazonaws.com", chat: none, embeddings: none, same: bedrockCalls},
	{base: "https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com", chat: none, embeddings: none, same: bedrockCalls},
	{base: "https://api.302.ai/v1", embeddings: lacks},
	{base: "https://api.cerebras.ai/v1", embeddings: lacks},
	{base: "https://api.cloudflare.com/client/v4/accounts/acct/ai/run", chat: none, embeddings: none},
	{base: "https://api.cloudflare.com/client/v4/accounts/acct/ai/v1", chat: "https://api.cloudflare.com/client/v4/accounts/acct/ai/run/m1", embeddings: "https://api.cloudflare.com/client/v4/accounts/acct/ai/run/m1", models: refused, proxied: refused},
	{base: "https://api.cohere.ai/compatibility/v1", chat: "https://api.cohere.ai/v2/chat", embeddings: "https://api.cohere.ai/v2/embed"},
	{base: "https://api.cohere.ai", chat: none, embeddings: none},
	{base: "https://api.cohere.com/compatibility/v1", chat: "https://api.cohere.com/v2/chat", embeddings: "https://api.cohere.com/v2/embed"},
	{base: "https://api.cohere.com", chat: none, embeddings: none},
	{base: "https://api.cometapi.com/v1"},
	{base: "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"},
	{base: "https://dashscope-us.aliyuncs.com/compatible-mode/v1"},
	{base: "https://dashscope.aliyuncs.com/compatible-mode/v1"},
	{base: "https://api.deepinfra.com/v1/openai", embeddings: lacks},
	{base: "https://api.deepseek.com/v1", embeddings: lacks},
	{base: "https://api.deepseek.com", chat: "https://api.deepseek.com/v1/chat/completions", embeddings: lacks},
	{base: "https://api.featherless.ai/v1", embeddings: lacks},
	{base: "https://api.fireworks.ai/inference/v1", models: refused, proxied: refused},
	{base: "https://api.fireworks.ai/v1/accounts/acct", chat: none, embeddings: none},
	{base: "https://models.inference.ai.azure.com"},
	{base: "https://models.github.ai/inference"},
	{base: "https://api.groq.com/openai/v1", embeddings: lacks},
	{base: "https://api.hyperbolic.xyz/v1", embeddings: lacks},
	{base: "https://api.inference.net/v1", embeddings: lacks},
	{base: "https://api.intelligence.io.solutions/api/v1"},
	{base: "https://api.jina.ai/v1", chat: lacks},
	{base: "https://api.kluster.ai/v1"},
	{base: "https://cloud.olakrutrim.com/v1", embeddings: lacks},
	{base: "https://api.lambda.ai/v1", embeddings: lacks},
	{base: "https://api.lemonfox.ai/v1", embeddings: lacks},
	{base: "https://api.lingyiwanwu.com/v1", embeddings: lacks},
	{base: "https://api.mistral.ai/v1"},
	{base: "https://codestral.mistral.ai/v1", same: []string{"POST /fim/completions"}},
	{base: "https://llm.monsterapi.ai/v1", embeddings: lacks},
	{base: "https://api.moonshot.cn/v1", embeddings: lacks},
	{base: "https://api.moonshot.ai/v1", embeddings: lacks},
	{base: "https://api.studio.nebius.ai/v1"},
	{base: "https://api.tokenfactory.nebius.com/v1"},
	{base: "https://api-atlas.nomic.ai/v1", chat: lacks, embeddings: "https://api-atlas.nomic.ai/v1/embedding/text"},
	{base: "https://api.novita.ai/v3/openai", chat: "https://api.novita.ai/v3/openai/v1/chat/completions", embeddings: lacks},
	{base: "https://api.novita.ai/openai/v1", embeddings: lacks},
	{base: "https://inference.api.nscale.com/v1", embeddings: lacks},
	{base: "https://openrouter.ai/api/v1", embeddings: lacks},
	{base: "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1", embeddings: lacks},
	{base: "https://api.perplexity.ai", embeddings: lacks},
	{base: "https://external.api.recraft.ai/v1", chat: lacks, embeddings: lacks},
	{base: "https://api.replicate.com/v1", chat: lacks, embeddings: lacks},
	{base: "https://api.sambanova.ai/v1", embeddings: lacks},
	{base: "https://api.siliconflow.cn/v1"},
	{base: "https://api.siliconflow.com/v1"},
	{base: "https://api.together.xyz/v1"},
	{base: "https://api.together.ai/v1"},
	{base: "https://api.upstage.ai/v1/solar"},
	{base: "https://api.upstage.ai/v1"},
	{base: "https://api.upstage.ai"},
	{base: "https://api.voyageai.com/v1", chat: lacks},
	{base: "https://api.x.ai/v1"},
	{base: "https://api.z.ai/api/paas/v4", embeddings: lacks},
	{base: "https://api.z.ai/api/coding/paas/v4", embeddings: lacks},
	{base: "https://open.bigmodel.cn/api/paas/v4"},
	{base: "https://open.bigmodel.cn/api/coding/paas/v4"},
	{base: "https://api.ai21.com/studio/v1"},
	{base: "https://api.baichuan-ai.com/v1"},
	{base: "https://inference.baseten.co/v1"},
	{base: "https://llm.chutes.ai/v1"},
	{base: "https://router.huggingface.co/v1"},
	{base: "https://api.hunyuan.cloud.tencent.com/v1"},
	{base: "https://api.inceptionlabs.ai/v1"},
	{base: "https://api.llama.com/compat/v1"},
	{base: "https://api.minimax.io/v1"},
	{base: "https://api.minimaxi.com/v1"},
	{base: "https://api-inference.modelscope.cn/v1"},
	{base: "https://api.morphllm.com/v1"},
	{base: "https://integrate.api.nvidia.com/v1"},
	{base: "https://qianfan.baidubce.com/v2"},
	{base: "https://api.scaleway.ai/v1"},
	{base: "https://api.stepfun.com/v1"},
	{base: "https://api.venice.ai/api/v1"},
	{base: "https://ark.cn-beijing.volces.com/api/v3"},
	{base: "https://api.inference.wandb.ai/v1"},
	{base: "https://open.bigmodel.cn/api/anthropic/v1", chat: "https://open.bigmodel.cn/api/anthropic/v1/messages", embeddings: lacks, same: anthropicCalls},
	{base: "https://api.deepseek.com/anthropic/v1", chat: "https://api.deepseek.com/anthropic/v1/messages", embeddings: lacks, same: anthropicCalls},
	{base: "https://api.kimi.com/coding/v1", chat: "https://api.kimi.com/coding/v1/messages", embeddings: lacks, same: anthropicCalls},
	{base: "https://api.minimax.io/anthropic/v1", chat: "https://api.minimax.io/anthropic/v1/messages", embeddings: lacks, same: anthropicCalls},
	{base: "https://api.minimaxi.com/anthropic/v1", chat: "https://api.minimaxi.com/anthropic/v1/messages", embeddings: lacks, same: anthropicCalls},
	{base: "https://api.moonshot.ai/anthropic/v1", chat: "https://api.moonshot.ai/anthropic/v1/messages", embeddings: lacks, same: anthropicCalls},
	{base: "https://api.moonshot.cn/anthropic/v1", chat: "https://api.moonshot.cn/anthropic/v1/messages", embeddings: lacks, same: anthropicCalls},
	{base: "https://api.z.ai/api/anthropic/v1", chat: "https://api.z.ai/api/anthropic/v1/messages", embeddings: lacks, same: anthropicCalls},
}

var calledURL = regexp.MustCompile(`loopback: not called: (\S+ [^"\\]+)`)

// gatewayCalls sends a request and returns what the gateway would have called, or
// else what it answers.
func gatewayCalls(t *testing.T, client *http.Client, method, url string) string {
	t.Helper()
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader(`{"model":"m1","input":"hi","prompt":"hi","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}`)
	}
	req, err := http.NewRequestWithContext(bounded(t), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+clientKey)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if m := calledURL.FindSubmatch(answer); m != nil {
		return string(m[1])
	}
	return string(answer)
}

func TestGatewayCallsWhatTheClientAskedFor(t *testing.T) {
	t.Parallel()
	client, err := portkey.WrapClient(nil, portkey.Options{BaseURL: realgateway.URL(t)})
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("../internal/providers/table.go")
	if err != nil {
		t.Fatal(err)
	}
	check(t, "rows of the table in internal/providers", strings.Count(string(table), "\t{url: "), len(providerCalls))
	for _, c := range providerCalls {
		t.Run(c.base, func(t *testing.T) {
			for _, call := range []struct{ method, path, want string }{
				{"POST", "/chat/completions", c.chat},
				{"POST", "/embeddings", c.embeddings},
				{"GET", "/models?limit=2&after=a%2Fb", c.models},
				{"POST", "/rerank/a%2Fb?x=y", c.proxied},
			} {
				asked := c.base + call.path
				if call.want == none {
					continue
				}
				got := gatewayCalls(t, client, call.method, asked)
				switch call.want {
				case lacks, refused:
					contains(t, call.method+" "+asked, got, call.want)
				case "":
					check(t, call.method+" "+asked, got, call.method+" "+asked)
				default:
					check(t, call.method+" "+asked, got, call.method+" "+call.want)
				}
			}
			for _, endpoint := range c.same {
				method, path, _ := strings.Cut(endpoint, " ")
				check(t, endpoint, gatewayCalls(t, client, method, c.base+path), method+" "+c.base+path)
			}
		})
	}
}

// What the gateway sends on endpoints that it proxies: the credential that the client sent, and no other.
func TestCredentialsOfClouds(t *testing.T) {
	t.Parallel()
	client, err := portkey.WrapClient(nil, portkey.Options{BaseURL: realgateway.URL(t)})
	if err != nil {
		t.Fatal(err)
	}
	const (
		bedrock   = "https://bedrock-runtime.eu-west-1.amazonaws.com/model/amazon.nova-lite-v1%3A0/converse"
		signature = "AWS4-HMAC-SHA256 Credential=AKID/20260131/eu-west-1/bedrock/aws4_request, SignedHeaders=content-length;content-type;host;x-amz-date;x-amz-security-token, Signature=0a1b"
		body      = `{"messages":[{"role":"user","content":[{"text":"\"<é&日本>\"\n😀"}]}],"inferenceConfig":{"maxTokens":5,"temperature":0.5}}`
	)
	type headers = map[string]string
	for _, tt := range []struct {
		name, url  string
		send, want headers
	}{
		{
			"Bedrock, signed", bedrock,
			headers{"authorization": signature, "x-amz-date": "20260131T000000Z", "x-amz-security-token": "token"},
			headers{"authorization": signature, "x-amz-date": "20260131T000000Z", "x-amz-security-token": "token"},
		},
		{"Bedrock, API key", bedrock, headers{"authorization": "Bearer key"}, headers{"authorization": "Bearer key"}},
		{"Vertex AI, token", "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/google/models/m:generateContent",
			headers{"authorization": "Bearer token"}, headers{"authorization": "Bearer token"}},
		{"Vertex AI, API key", "https://aiplatform.googleapis.com/v1beta1/publishers/google/models/m:generateContent",
			headers{"x-goog-api-key": "key"}, headers{"x-goog-api-key": "key"}},
		{"Vertex AI, API key in the query", "https://aiplatform.googleapis.com/v1/publishers/google/models/m:generateContent?key=key", nil, headers{}},
		{"Azure, API key", "https://res.services.ai.azure.com/openai/v1/chat/completions", headers{"api-key": "key"}, headers{"api-key": "key"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(bounded(t), "POST", tt.url, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			for key, value := range tt.send {
				req.Header.Set(key, value)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var sent struct {
				Message string
				Headers headers
				Body    string
			}
			if err := json.NewDecoder(resp.Body).Decode(&sent); err != nil {
				t.Fatal(err)
			}
			check(t, "request", sent.Message, "loopback: not called: POST "+tt.url)
			check(t, "Content-Type", sent.Headers["content-type"], "application/json")
			check(t, "body", sent.Body, body)
			got := headers{}
			for _, key := range []string{"authorization", "x-amz-date", "x-amz-security-token", "api-key", "x-api-key", "x-goog-api-key"} {
				if value, ok := sent.Headers[key]; ok {
					got[key] = value
				}
			}
			if !maps.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// The Transport refuses a Realtime call to a base URL with a custom host, because the gateway ignores
// x-portkey-custom-host there: the call would leave its region.
func TestGatewayIgnoresSomeCustomHosts(t *testing.T) {
	t.Parallel()
	req, err := http.NewRequestWithContext(bounded(t), http.MethodGet, realgateway.URL(t)+"/batches/b1/output", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{
		"Authorization": {"Bearer " + clientKey}, "X-Portkey-Provider": {"openai"}, "X-Portkey-Custom-Host": {"https://eu.api.openai.com/v1"},
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(body), "loopback: not called: GET https://api.openai.com/v1/") {
		t.Errorf("got %s and error %v, want a call of api.openai.com", body, err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	url := realgateway.URL(t) + "/realtime?model=m1"
	go websocket.Dial(ctx, url, &websocket.DialOptions{HTTPHeader: http.Header{ // the gateway never answers
		"Authorization": {"Bearer " + clientKey}, "X-Portkey-Provider": {"openai"}, "X-Portkey-Custom-Host": {"https://eu.api.openai.com/v1"},
	}})
	for !strings.Contains(realgateway.Printed(), "loopback: not connected: api.openai.com") {
		select {
		case <-ctx.Done():
			t.Fatal("the gateway did not connect to its default host")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Two Upstreams of one provider and a known provider on one client do not influence
// each other.
// The gateway takes a part of these paths for a host. The Transport refuses them.
func TestPathsThatMisleadTheGatewayAreRefused(t *testing.T) {
	t.Parallel()
	client, err := portkey.WrapClient(nil, portkey.Options{BaseURL: realgateway.URL(t)})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ method, base, path, provider, calls string }{
		{"POST", "https://res.openai.azure.com/openai", "/evil.example/.openai.azure.com/x", "azure-openai", "https://evil.example/.openai.azure.com/x"},
		{"POST", "https://api.deepseek.com", "/proxy.evil.example/x", "deepseek", "https://api.deepseek.com.evil.example/x"},
		{"GET", "https://bedrock-runtime.us-east-1.amazonaws.com", "/files/evil.example%23", "bedrock", "https://evil.example/"},
		{"GET", "https://bedrock-runtime.us-east-1.amazonaws.com", "/files/evil.example?", "bedrock", "https://evil.example/"},
		{"GET", "https://bedrock-runtime.us-east-1.amazonaws.com", "/%66iles/x?/v1/files/evil.example%23", "bedrock", "https://evil.example/"},
		{"POST", "https://api.deepseek.com", "/proxy:8443/x", "deepseek", "https://api.deepseek.com:8443/x"},
	} {
		t.Run(tt.path, func(t *testing.T) {
			req, err := http.NewRequestWithContext(bounded(t), tt.method, realgateway.URL(t)+tt.path, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header = http.Header{
				"Authorization": {"Bearer " + clientKey}, "Content-Type": {"application/json"},
				"X-Portkey-Provider": {tt.provider}, "X-Portkey-Azure-Resource-Name": {"res"},
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || !strings.Contains(string(body), "loopback: not called: "+tt.method+" "+tt.calls) {
				t.Errorf("without the Transport: got %s and error %v, want a call of %s", body, err, tt.calls)
			}
			_, err = client.Post(tt.base+tt.path, "application/json", strings.NewReader("{}"))
			var routeError *portkey.RouteError
			if !errors.As(err, &routeError) {
				t.Errorf("with the Transport: got %v, want a RouteError", err)
			}
		})
	}
}

func TestGatewayCallsTheURLOfAnUpstream(t *testing.T) {
	t.Parallel()
	client, err := portkey.WrapClient(nil, portkey.Options{BaseURL: realgateway.URL(t), Upstreams: []portkey.Upstream{
		{BaseURL: "https://api.moonshot.ai/v1", Provider: "moonshot"},
		{BaseURL: "https://other.moonshot.example/x/v1", Provider: "moonshot"},
		{BaseURL: "https://eu.api.openai.com/v1", Provider: "openai"},
		{BaseURL: "https://dashscope.aliyuncs.com/compatible-mode/v1", Provider: "dashscope"},
		{BaseURL: "https://api.siliconflow.com/v1", Provider: "siliconflow"},
		{BaseURL: "https://models.github.ai/inference", Provider: "github"},
		{BaseURL: "https://api.tokenfactory.nebius.com/v1", Provider: "nebius"},
		{BaseURL: "https://integrate.api.nvidia.com/v1", Provider: "openai"},
		{BaseURL: "https://deepseek.example/v1", Provider: "deepseek"},
		{BaseURL: "https://router.example/api/v1", Provider: "openrouter"},
		{BaseURL: "https://lambda.example/v1", Provider: "lambda"},
		{BaseURL: "https://alias.example/v1", Provider: "openai", CustomHost: "https://real.example/v1"},
		{BaseURL: "http://localhost:11434", Provider: "ollama"},
		{BaseURL: "https://aiplatform.googleapis.com", Provider: "vertex-ai"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for asked, want := range map[string]string{
		"https://alias.example/v1":   "https://real.example/v1",
		"https://api.moonshot.ai/v1": "", "https://other.moonshot.example/x/v1": "", "https://eu.api.openai.com/v1": "",
		"https://dashscope.aliyuncs.com/compatible-mode/v1": "", "https://api.siliconflow.com/v1": "", "https://models.github.ai/inference": "",
		"https://api.tokenfactory.nebius.com/v1": "", "https://integrate.api.nvidia.com/v1": "", "https://deepseek.example/v1": "",
		"https://router.example/api/v1": "", "https://lambda.example/v1": "", "http://localhost:11434/v1": "", "http://localhost:11434/api": "",
		"https://aiplatform.googleapis.com/v1/projects/p/locations/global/endpoints/openapi": "",
		"https://api.openai.com/v1": "", "https://api.moonshot.cn/v1": "", "https://api.siliconflow.cn/v1": "",
	} {
		t.Run(asked, func(t *testing.T) {
			if want == "" {
				want = asked
			}
			check(t, "chat", gatewayCalls(t, client, "POST", asked+"/chat/completions"), "POST "+want+"/chat/completions")
			check(t, "models", gatewayCalls(t, client, "GET", asked+"/models?limit=2&after=a%2Fb"), "GET "+want+"/models?limit=2&after=a%2Fb")
			check(t, "proxied", gatewayCalls(t, client, "POST", asked+"/rerank/a%2Fb?x=y"), "POST "+want+"/rerank/a%2Fb?x=y")
		})
	}
}
