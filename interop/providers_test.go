package interop

import (
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/portkey-go/portkey"
)

// A calls is what the gateway does with what a client asks for under a base URL:
// "" where it calls that very URL, else the URL that it calls, or one of the constants.
type calls struct{ base, chat, embeddings, models, proxied string }

const (
	lacks   = "is not supported by" // the gateway does not know the provider to have it, and answers 500
	refused = "portkey: "           // it would call another URL, so the Transport refuses it
	none    = "-"                   // there is no such endpoint
)

var providerCalls = []calls{
	{base: "https://api.openai.com/v1"},
	{base: "https://api.anthropic.com/v1", chat: "https://api.anthropic.com/v1/messages", embeddings: lacks},
	{base: "https://myres.openai.azure.com/openai/deployments/dep-1.5_x", chat: "https://myres.openai.azure.com/openai/deployments/dep-1.5_x/chat/completions?", embeddings: "https://myres.openai.azure.com/openai/deployments/dep-1.5_x/embeddings?"},
	{base: "https://myres.openai.azure.com/openai", chat: none, embeddings: none},
	{base: "https://generativelanguage.googleapis.com/v1beta/openai", chat: "https://generativelanguage.googleapis.com/v1beta/models/m1:generateContent?key=sk-test", embeddings: "https://generativelanguage.googleapis.com/v1beta/models/m1:embedContent?key=sk-test"},
	{base: "https://generativelanguage.googleapis.com", chat: none, embeddings: none},
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
	{base: "https://api.deepinfra.com/v1/openai", embeddings: lacks},
	{base: "https://api.deepseek.com/v1", embeddings: lacks},
	{base: "https://api.deepseek.com", chat: "https://api.deepseek.com/v1/chat/completions", embeddings: lacks},
	{base: "https://api.featherless.ai/v1", embeddings: lacks},
	{base: "https://api.fireworks.ai/inference/v1", models: refused, proxied: refused},
	{base: "https://api.fireworks.ai/v1/accounts/acct", chat: none, embeddings: none},
	{base: "https://models.inference.ai.azure.com"},
	{base: "https://api.groq.com/openai/v1", embeddings: lacks},
	{base: "https://api.hyperbolic.xyz/v1", embeddings: lacks},
	{base: "https://api.inference.net/v1", embeddings: lacks},
	{base: "https://api.intelligence.io.solutions/api/v1"},
	{base: "https://api.jina.ai/v1", chat: lacks},
	{base: "https://api.kluster.ai/v1"},
	{base: "https://cloud.olakrutrim.com/v1", embeddings: lacks},
	{base: "https://api.lemonfox.ai/v1", embeddings: lacks},
	{base: "https://api.lingyiwanwu.com/v1", embeddings: lacks},
	{base: "https://api.mistral.ai/v1"},
	{base: "https://llm.monsterapi.ai/v1", embeddings: lacks},
	{base: "https://api.moonshot.cn/v1", embeddings: lacks},
	{base: "https://api.studio.nebius.ai/v1"},
	{base: "https://api-atlas.nomic.ai/v1", chat: lacks, embeddings: "https://api-atlas.nomic.ai/v1/embedding/text"},
	{base: "https://api.novita.ai/v3/openai", chat: "https://api.novita.ai/v3/openai/v1/chat/completions", embeddings: lacks},
	{base: "https://inference.api.nscale.com/v1", embeddings: lacks},
	{base: "https://openrouter.ai/api/v1", embeddings: lacks},
	{base: "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1", embeddings: lacks},
	{base: "https://api.perplexity.ai", embeddings: lacks},
	{base: "https://external.api.recraft.ai/v1", chat: lacks, embeddings: lacks},
	{base: "https://api.replicate.com/v1", chat: lacks, embeddings: lacks},
	{base: "https://api.sambanova.ai/v1", embeddings: lacks},
	{base: "https://api.siliconflow.cn/v1"},
	{base: "https://api.together.xyz/v1"},
	{base: "https://api.together.ai/v1"},
	{base: "https://api.upstage.ai/v1/solar"},
	{base: "https://api.voyageai.com/v1", chat: lacks},
	{base: "https://api.x.ai/v1"},
	{base: "https://api.z.ai/api/paas/v4", embeddings: lacks},
	{base: "https://open.bigmodel.cn/api/paas/v4"},
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
	client, err := portkey.WrapClient(nil, portkey.Options{BaseURL: gatewayURL(t)})
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("../internal/providers/table.go")
	if err != nil {
		t.Fatal(err)
	}
	check(t, "rows of the table in internal/providers", strings.Count(string(table), "\t{url: "), len(providerCalls))
	for _, c := range providerCalls {
		for _, call := range []struct{ method, path, want string }{
			{"POST", "/chat/completions", c.chat},
			{"POST", "/embeddings", c.embeddings},
			{"GET", "/models?limit=2&after=a%2Fb", c.models},
			{"POST", "/rerank/a%2Fb?x=y", c.proxied},
		} {
			asked := c.base + call.path
			got := gatewayCalls(t, client, call.method, asked)
			switch call.want {
			case none:
			case lacks, refused:
				contains(t, call.method+" "+asked, got, call.want)
			case "":
				check(t, call.method+" "+asked, got, call.method+" "+asked)
			default:
				check(t, call.method+" "+asked, got, call.method+" "+call.want)
			}
		}
	}
}

// Two Upstreams of one provider and a known provider on one client do not influence
// each other.
func TestGatewayCallsTheURLOfAnUpstream(t *testing.T) {
	t.Parallel()
	client, err := portkey.WrapClient(nil, portkey.Options{BaseURL: gatewayURL(t), Upstreams: []portkey.Upstream{
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
	}})
	if err != nil {
		t.Fatal(err)
	}
	for asked, want := range map[string]string{
		"https://alias.example/v1":   "https://real.example/v1",
		"https://api.moonshot.ai/v1": "", "https://other.moonshot.example/x/v1": "", "https://eu.api.openai.com/v1": "",
		"https://dashscope.aliyuncs.com/compatible-mode/v1": "", "https://api.siliconflow.com/v1": "", "https://models.github.ai/inference": "",
		"https://api.tokenfactory.nebius.com/v1": "", "https://integrate.api.nvidia.com/v1": "", "https://deepseek.example/v1": "",
		"https://router.example/api/v1": "", "https://lambda.example/v1": "",
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
