package interop

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/interop/internal/realgateway"
	openai "github.com/sashabaranov/go-openai"
)

// The tests in this file see each parameter act: on what reaches the provider, or
// on what comes back. That it is on the wire is for the library's own tests.

// notCalled makes a chat completion without a custom host, and returns the URL
// that the gateway would have called (see loopback.cjs).
func notCalled(t *testing.T, client *openai.Client, model string) string {
	t.Helper()
	apiErr := chatError(t, bounded(t), client, model)
	check(t, "status", apiErr.HTTPStatusCode, http.StatusMisdirectedRequest)
	_, call, _ := strings.Cut(apiErr.Message, "loopback: not called: ")
	return call
}

func TestProviderIsThatOfTheBaseURL(t *testing.T) {
	t.Parallel()
	check(t, "call", notCalled(t, rerouted(t, portkey.Headers{}), "m1"), "POST https://api.openai.com/v1/chat/completions")
}

func TestProvider(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, answerAnthropic)
	client := direct(t, portkey.Headers{Provider: "anthropic", CustomHost: u.URL + "/v1"})
	var info portkey.ResponseInfo

	check(t, "answer", chat(t, portkey.WithResponseInfo(bounded(t), &info), client, "claude-x"), "hello")

	got := u.only(t)
	got.checkURL(t, http.MethodPost, "/v1/messages")
	got.checkHeader(t, "X-Api-Key", clientKey)
	got.checkHeader(t, "Authorization", "")
	check(t, "provider", info.Provider, "anthropic")
}

func TestProviderOfOneCall(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, answerAnthropic)
	client := rerouted(t, portkey.Headers{CustomHost: u.URL + "/v1"})
	ctx := portkey.WithHeaders(bounded(t), portkey.Headers{Provider: "anthropic"})

	check(t, "answer", chat(t, ctx, client, "claude-x"), "hello")

	got := u.only(t)
	got.checkURL(t, http.MethodPost, "/v1/messages")
}

func TestCustomHostOfOneCall(t *testing.T) {
	t.Parallel()
	u, other := newUpstream(t, nil), newUpstream(t, nil)
	client := rerouted(t, portkey.Headers{CustomHost: u.URL + "/v1"})

	chat(t, portkey.WithHeaders(bounded(t), portkey.Headers{CustomHost: other.URL + "/v2"}), client, "m1")

	got := other.only(t)
	got.checkURL(t, http.MethodPost, "/v2/chat/completions")
	check(t, "requests to the client's own host", len(u.requests()), 0)
}

func TestAuthorizationForAClientWithout(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	tr, err := portkey.NewTransport(nil, portkey.Options{BaseURL: realgateway.URL(t), Headers: portkey.Headers{
		Provider: "openai", CustomHost: u.URL + "/v1", Authorization: "Bearer sk-portkey-side",
	}})
	if err != nil {
		t.Fatal(err)
	}

	chat(t, bounded(t), openai.NewClientWithConfig(portkey.OpenAIConfig("", tr)), "m1")

	got := u.only(t)
	got.checkHeader(t, "Authorization", "Bearer sk-portkey-side")
}

func TestForwardHeaders(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	client := rerouted(t, portkey.Headers{CustomHost: u.URL + "/v1", Extra: map[string]string{"X-Tenant": "t1", "X-Other": "o1"}})

	chat(t, bounded(t), client, "m1")
	chat(t, portkey.WithHeaders(bounded(t), portkey.Headers{ForwardHeaders: []string{"X-Tenant"}}), client, "m1")
	chat(t, portkey.WithHeaders(bounded(t), portkey.Headers{ForwardHeaders: []string{"X-Tenant", "X-Other"}}), client, "m1")

	all := u.requests()
	if len(all) != 3 {
		t.Fatalf("requests upstream: got %d, want 3", len(all))
	}
	for i, want := range []struct{ tenant, other string }{{"", ""}, {"t1", ""}, {"t1", "o1"}} {
		all[i].checkClean(t)
		all[i].checkHeader(t, "X-Tenant", want.tenant)
		all[i].checkHeader(t, "X-Other", want.other)
	}
}

func TestOpenAIOrganizationAndProject(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	client := rerouted(t, portkey.Headers{
		CustomHost: u.URL + "/v1",
		OpenAI:     portkey.OpenAI{Organization: "org-1", Project: "proj_1"},
	})

	chat(t, bounded(t), client, "m1")

	got := u.only(t)
	got.checkHeader(t, "OpenAI-Organization", "org-1")
	got.checkHeader(t, "OpenAI-Project", "proj_1")
}

func TestAnthropicBetaAndVersion(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, answerAnthropic)
	client := direct(t, portkey.Headers{
		Provider:   "anthropic",
		CustomHost: u.URL + "/v1",
		Anthropic:  portkey.Anthropic{Beta: "beta-1,beta-2", Version: "2024-02-29"},
	})

	chat(t, bounded(t), client, "claude-x")

	got := u.only(t)
	got.checkHeader(t, "Anthropic-Beta", "beta-1,beta-2")
	got.checkHeader(t, "Anthropic-Version", "2024-02-29")
}

func TestAzureDeploymentAndAPIVersion(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	client := direct(t, portkey.Headers{
		Provider:   "azure-openai",
		CustomHost: u.URL,
		Azure:      portkey.Azure{ResourceName: "res1", DeploymentID: "dep1", APIVersion: "2024-06-01"},
	})

	check(t, "answer", chat(t, bounded(t), client, "m1"), "hello")

	got := u.only(t)
	got.checkURL(t, http.MethodPost, "/deployments/dep1/chat/completions")
	check(t, "query upstream", got.Query.Encode(), "api-version=2024-06-01")
	got.checkHeader(t, "Api-Key", clientKey)
	got.checkHeader(t, "Authorization", "")
}

func TestAzureResourceName(t *testing.T) {
	t.Parallel()
	client := direct(t, portkey.Headers{
		Provider: "azure-openai",
		Azure:    portkey.Azure{ResourceName: "res1", DeploymentID: "dep1", APIVersion: "2024-06-01"},
	})
	check(t, "call", notCalled(t, client, "m1"),
		"POST https://res1.openai.azure.com/openai/deployments/dep1/chat/completions?api-version=2024-06-01")
}

func TestVertexProjectAndRegion(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, reply(http.StatusOK, `{"candidates":[{"content":{"role":"model","parts":[{"text":"hello"}]},
		"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2,"totalTokenCount":3}}`))
	h := portkey.Headers{
		Provider: "vertex-ai",
		Vertex:   portkey.Vertex{ProjectID: "proj1", Region: "europe-west9"},
	}
	const path = "/v1/projects/proj1/locations/europe-west9/publishers/google/models/gemini-x:generateContent"
	check(t, "call", notCalled(t, direct(t, h), "gemini-x"), "POST https://europe-west9-aiplatform.googleapis.com"+path)

	h.CustomHost = u.URL
	check(t, "answer", chat(t, bounded(t), direct(t, h), "gemini-x"), "hello")

	got := u.only(t)
	got.checkURL(t, http.MethodPost, path)
	got.checkHeader(t, "Authorization", "Bearer "+clientKey)
}

func TestAWSKeysAndRegion(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, reply(http.StatusOK, `{"output":{"message":{"role":"assistant","content":[{"text":"hello"}]}},
		"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3}}`))
	h := portkey.Headers{
		Provider: "bedrock",
		AWS: portkey.AWS{
			AccessKeyID: "AKIATEST", SecretAccessKey: "secret-1", Region: "eu-west-3", SessionToken: "session-1",
		},
	}
	check(t, "call", notCalled(t, direct(t, h), "model-x"), "POST https://bedrock-runtime.eu-west-3.amazonaws.com/model/model-x/converse")

	h.CustomHost = u.URL
	check(t, "answer", chat(t, bounded(t), direct(t, h), "model-x"), "hello")

	got := u.only(t)
	got.checkURL(t, http.MethodPost, "/model/model-x/converse")
	got.checkHeader(t, "X-Amz-Security-Token", "session-1")
	scope := got.Header.Get("X-Amz-Date")[:len("20060102")] + "/eu-west-3/bedrock/aws4_request"
	contains(t, "authorization upstream", got.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=AKIATEST/"+scope+", ")
	// The secret key shows in nothing but the signature.
	_, signature, _ := strings.Cut(got.Header.Get("Authorization"), "Signature=")
	check(t, "signature upstream", signature, sigV4(t, &got, "secret-1", scope))
}

// sigV4 returns the signature of a request without query that was signed with
// secret: AWS Signature Version 4.
func sigV4(t *testing.T, r *received, secret, scope string) string {
	t.Helper()
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	signed, _, _ := strings.Cut(rest, ",")
	var headers strings.Builder
	for name := range strings.SplitSeq(signed, ";") {
		value := r.Header.Get(name)
		if name == "host" {
			value, _, _ = strings.Cut(r.Host, ":") // the gateway leaves the port out
		}
		headers.WriteString(name + ":" + value + "\n")
	}
	payload := sha256.Sum256(r.Body)
	request := sha256.Sum256([]byte(strings.Join([]string{
		r.Method, r.Path, "", headers.String(), signed, hex.EncodeToString(payload[:]),
	}, "\n")))
	text := strings.Join([]string{
		"AWS4-HMAC-SHA256", r.Header.Get("X-Amz-Date"), scope, hex.EncodeToString(request[:]),
	}, "\n")

	sum := []byte("AWS4" + secret)
	for _, part := range append(strings.Split(scope, "/"), text) {
		mac := hmac.New(sha256.New, sum)
		mac.Write([]byte(part))
		sum = mac.Sum(nil)
	}
	return hex.EncodeToString(sum)
}

// Extra is for what has no field.
func TestExtraParameter(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	client := direct(t, portkey.Headers{
		Provider:   "azure-openai",
		CustomHost: u.URL,
		Azure:      portkey.Azure{DeploymentID: "dep1", APIVersion: "2024-06-01"},
		Extra:      map[string]string{"x-portkey-azure-ad-token": "ad-1"},
	})

	chat(t, bounded(t), client, "m1")

	got := u.only(t)
	got.checkHeader(t, "Authorization", "Bearer ad-1")
}

func TestRequestTimeout(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release) // before the upstream closes, which waits for its answers
	client := rerouted(t, portkey.Headers{CustomHost: u.URL + "/v1", RequestTimeout: 50 * time.Millisecond})

	apiErr := chatError(t, bounded(t), client, "m1")

	check(t, "status", apiErr.HTTPStatusCode, http.StatusRequestTimeout)
	contains(t, "message", apiErr.Message, "50ms")
}

func TestStrictOpenAICompliance(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, answerAnthropic)
	// No OpenAI client shows the fields that OpenAI does not have.
	client, err := portkey.WrapClient(nil, portkey.Options{BaseURL: realgateway.URL(t),
		Headers: portkey.Headers{Provider: "anthropic", CustomHost: u.URL + "/v1"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		strict *bool
		want   bool
	}{
		{"not set", nil, false},
		{"true", portkey.Ptr(true), false},
		{"false", portkey.Ptr(false), true},
	} {
		ctx := portkey.WithHeaders(bounded(t), portkey.Headers{StrictOpenAICompliance: tt.strict})
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://api.openai.com/v1/chat/completions",
			strings.NewReader(`{"model":"claude-x","max_tokens":16,"messages":[{"role":"user","content":"hi"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		check(t, tt.name+": status", resp.StatusCode, http.StatusOK)
		check(t, tt.name+": content_blocks in the answer", strings.Contains(string(body), "content_blocks"), tt.want)
	}
}

const fallbackConfig = `{"strategy":{"mode":"fallback"},"targets":[
	{"provider":"openai","api_key":"k1"},
	{"provider":"openai","api_key":"k2","override_params":{"user":"Zoë"}}]}`

// checkFallback checks what is upstream after a call with fallbackConfig whose
// first target failed.
func checkFallback(t *testing.T, u *upstream, info portkey.ResponseInfo) {
	t.Helper()
	all := u.requests()
	if len(all) != 2 {
		t.Fatalf("requests upstream: got %d, want 2", len(all))
	}
	for i, key := range []string{"k1", "k2"} {
		all[i].checkClean(t)
		all[i].checkURL(t, http.MethodPost, "/v1/chat/completions")
		all[i].checkHeader(t, "Authorization", "Bearer "+key)
	}
	var body struct{ User string }
	if err := json.Unmarshal(all[1].Body, &body); err != nil {
		t.Fatal(err)
	}
	check(t, "overridden parameter upstream", body.User, "Zoë")
	check(t, "last used option", info.LastUsedOption, "config.targets[1]")
	check(t, "provider", info.Provider, "openai")
}

func TestConfigFallback(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, failing("k1", http.StatusInternalServerError))
	client := rerouted(t, portkey.Headers{CustomHost: u.URL + "/v1", Config: portkey.ConfigJSON(fallbackConfig)})
	var info portkey.ResponseInfo

	check(t, "answer", chat(t, portkey.WithResponseInfo(bounded(t), &info), client, "m1"), "hello")

	checkFallback(t, u, info)
}

func TestConfigFallbackOfOneCall(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, failing("k1", http.StatusInternalServerError))
	client := rerouted(t, portkey.Headers{CustomHost: u.URL + "/v1"})
	var info portkey.ResponseInfo
	ctx := portkey.WithHeaders(bounded(t), portkey.Headers{Config: portkey.ConfigJSON(fallbackConfig)})

	check(t, "answer", chat(t, portkey.WithResponseInfo(ctx, &info), client, "m1"), "hello")

	checkFallback(t, u, info)
}

// The gateway waits a second before it tries again, and that cannot be set.
func TestConfigRetry(t *testing.T) {
	t.Parallel()
	const config = `{"provider":"openai","api_key":"k1","retry":{"attempts":1}}`
	for _, tt := range []struct {
		name     string
		failures int
		want     int
	}{
		{"the second attempt is answered", 1, 1},
		{"all attempts are used up", 2, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			failures := make(chan struct{}, tt.failures)
			for range tt.failures {
				failures <- struct{}{}
			}
			u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				select {
				case <-failures:
					failing("k1", http.StatusServiceUnavailable)(w, r)
				default:
					answerOpenAI(w, r)
				}
			})
			client := rerouted(t, portkey.Headers{CustomHost: u.URL + "/v1", Config: portkey.ConfigJSON(config)})
			var info portkey.ResponseInfo

			_, err := client.CreateChatCompletion(portkey.WithResponseInfo(bounded(t), &info), chatRequest("m1"))

			check(t, "failed", err != nil, tt.want == -1)
			check(t, "retry attempts", info.RetryAttempts, tt.want)
			all := u.requests()
			check(t, "requests upstream", len(all), 2)
			for _, r := range all {
				r.checkClean(t)
				r.checkHeader(t, "Authorization", "Bearer k1")
			}
		})
	}
}

// Metadata decides, and must do so in any language: the gateway reads a header's
// bytes as Latin-1, in the metadata as well as in the config.
func TestMetadataDecidesAConditionalConfig(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	client := rerouted(t, portkey.Headers{
		CustomHost: u.URL + "/v1",
		Metadata:   portkey.Metadata{"tier": "free"},
		Config: portkey.ConfigJSON(`{"strategy":{"mode":"conditional","default":"rest",
			"conditions":[{"query":{"metadata.tier":{"$eq":"gôld 金 🥇"}},"then":"best"}]},
			"targets":[{"name":"rest","provider":"openai","api_key":"k-rest"},{"name":"best","provider":"openai","api_key":"k-best"}]}`),
	})
	var rest, best portkey.ResponseInfo

	chat(t, portkey.WithResponseInfo(bounded(t), &rest), client, "m1")
	ctx := portkey.WithMetadata(bounded(t), portkey.Metadata{"tier": "gôld 金 🥇"})
	chat(t, portkey.WithResponseInfo(ctx, &best), client, "m1")

	all := u.requests()
	if len(all) != 2 {
		t.Fatalf("requests upstream: got %d, want 2", len(all))
	}
	all[0].checkHeader(t, "Authorization", "Bearer k-rest")
	check(t, "last used option of the rest", rest.LastUsedOption, "config.targets[0]")
	all[1].checkHeader(t, "Authorization", "Bearer k-best")
	check(t, "last used option of the best", best.LastUsedOption, "config.targets[1]")
}

// On the routes that the gateway hands on as they are, a credential on the request
// would go before the target's: the client's would reach another provider.
func TestNoClientCredentialWithAConfigOfTargets(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	client := rerouted(t, portkey.Headers{
		CustomHost: u.URL + "/v1",
		Config: portkey.ConfigJSON(`{"strategy":{"mode":"loadbalance"},"targets":[
			{"provider":"groq","api_key":"k-groq","weight":0},{"provider":"openai","api_key":"k-target","weight":1}]}`),
	})
	var info portkey.ResponseInfo

	if _, err := client.ListModels(portkey.WithResponseInfo(bounded(t), &info)); err != nil {
		t.Fatal(err)
	}

	got := u.only(t)
	got.checkURL(t, http.MethodGet, "/v1/models")
	got.checkHeader(t, "Authorization", "Bearer k-target")
	for key, values := range got.Header {
		if strings.Contains(strings.Join(values, " "), clientKey) {
			t.Errorf("header %s upstream: got the client's key, want it nowhere", key)
		}
	}
	check(t, "last used option", info.LastUsedOption, "config.targets[1]")
}

// The open-source gateway acts on none of these. They must neither bother it nor
// reach the provider, on either kind of route.
func TestHostedParametersStayAtTheGateway(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	client := rerouted(t, portkey.Headers{
		APIKey:            "pk-test",
		VirtualKey:        "vk-test",
		Provider:          "openai",
		CustomHost:        u.URL + "/v1",
		TraceID:           "trace-1",
		SpanID:            "span-1",
		SpanName:          "a span",
		ParentSpanID:      "span-0",
		Metadata:          portkey.Metadata{"_user": "Zoë"},
		CacheForceRefresh: portkey.Ptr(true),
		CacheNamespace:    "ns-1",
		Debug:             portkey.Ptr(false),
		SensitiveHeaders:  []string{"X-Tenant"},
	})

	chat(t, bounded(t), client, "m1")
	if _, err := client.ListModels(bounded(t)); err != nil {
		t.Fatal(err)
	}

	all := u.requests()
	check(t, "requests upstream", len(all), 2)
	for _, r := range all {
		r.checkClean(t)
		for key, values := range r.Header {
			if v := strings.Join(values, " "); strings.Contains(v, "pk-test") || strings.Contains(v, "vk-test") {
				t.Errorf("%s %s: header %s has a secret of Portkey's upstream", r.Method, r.Path, key)
			}
		}
	}
}

// checkJSON checks that two JSON texts say the same; the gateway writes bodies anew.
func checkJSON(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal(got, &g); err != nil {
		t.Errorf("%s: got %q, which is not JSON: %v", what, got, err)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("%s: got %s, want %s", what, got, want)
	}
}

// failing answers a request that carries key with a status and an OpenAI error,
// and any other as OpenAI does.
func failing(key string, status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer "+key {
			reply(status, `{"error":{"message":"no luck","type":"server_error","param":null,"code":null}}`)(w, r)
			return
		}
		answerOpenAI(w, r)
	}
}
