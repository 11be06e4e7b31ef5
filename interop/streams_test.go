package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	openaigo "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/responses"
	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/interop/internal/realgateway"
	openai "github.com/sashabaranov/go-openai"
)

// isFull reports whether the tests that take long run in full, and not a part of them.
var isFull = os.Getenv("PORTKEY_FULL") != ""

// An answer is an event stream as a provider sends it: the first events, and the last ones,
// which tell that it is complete.
type answer struct{ first, last string }

// openAIAnswer returns an answer in the format of OpenAI's chat completions. Further
// members are in each chunk.
func openAIAnswer(members string) answer {
	chunk := func(delta, finishReason string) string {
		return `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m1",` + members +
			`"choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + finishReason + "}]}\n\n"
	}
	return answer{chunk(`{"role":"assistant","content":"Two"}`, "null") + chunk(`{"content":"pages"}`, "null"),
		chunk("{}", `"stop"`) + "data: [DONE]\n\n"}
}

// withCRLF returns the answer with lines that end in CRLF, and without [DONE].
func withCRLF(a answer) answer {
	crlf := func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }
	return answer{crlf(a.first), crlf(strings.TrimSuffix(a.last, "data: [DONE]\n\n"))}
}

var (
	openAIChat      = openAIAnswer("")
	anthropicAnswer = answer{anthropicDialect.begin + anthropicDialect.event("Two") + anthropicDialect.event("pages"), anthropicDialect.end}
	geminiAnswer    = withCRLF(answer{geminiDialect.event("Two") + geminiDialect.event("pages"),
		`data: {"candidates":[{"content":{"role":"model","parts":[{"text":""}]},"finishReason":"STOP"}]}` + "\n\n"})
	responsesAnswer = answer{responsesDialect.event("Two") + responsesDialect.event("pages"),
		"event: response.completed\n" + `data: {"type":"response.completed","sequence_number":9,"response":{"id":"r1","object":"response","status":"completed","output":[]}}` + "\n\n"}
)

// chatAnswers has the answers of the providers whose chat completions the gateway can
// stream. An empty answer means that of OpenAI. Bedrock and Oracle are missing: they need
// binary streams and signed requests.
var chatAnswers = map[string]answer{
	"anthropic": anthropicAnswer,
	"bytez":     {openAIChat.first, strings.TrimSuffix(openAIChat.last, "data: [DONE]\n\n")},
	"cohere": {`data: {"type":"message-start","id":"c1"}` + "\n\n" + `data: {"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"Two"}}}}` + "\n\n" +
		`data: {"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"pages"}}}}` + "\n\n",
		`data: {"type":"message-end","delta":{"finish_reason":"COMPLETE","usage":{"tokens":{"input_tokens":1,"output_tokens":2}}}}` + "\n\n"},
	"google":        geminiAnswer,
	"hyperbolic":    openAIAnswer(`"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3},`),
	"perplexity-ai": withCRLF(openAIChat),
	"vertex-ai":     geminiAnswer,
	"workers-ai":    {`data: {"response":"Two"}` + "\n\n" + `data: {"response":"pages"}` + "\n\n", `data: {"response":""}` + "\n\ndata: [DONE]\n\n"},

	"302ai": {}, "ai21": {}, "aibadgr": {}, "anyscale": {}, "azure-ai": {}, "azure-openai": {}, "cerebras": {}, "cometapi": {}, "dashscope": {}, "deepbricks": {},
	"deepinfra": {}, "deepseek": {}, "featherless-ai": {}, "fireworks-ai": {}, "github": {}, "groq": {}, "huggingface": {}, "inference-net": {}, "iointelligence": {},
	"kluster-ai": {}, "krutrim": {}, "lambda": {}, "lemonfox-ai": {}, "lepton": {}, "lingyi": {}, "matterai": {}, "mistral-ai": {}, "modal": {}, "monsterapi": {},
	"moonshot": {}, "ncompass": {}, "nebius": {}, "nextbit": {}, "novita-ai": {}, "nscale": {}, "ollama": {}, "openai": {}, "openrouter": {}, "ovhcloud": {},
	"palm": {}, "predibase": {}, "reka-ai": {}, "sambanova": {}, "siliconflow": {}, "together-ai": {}, "upstage": {}, "x-ai": {}, "z-ai": {}, "zhipu": {},
}

// sampleSlugs are the providers that are tried unless PORTKEY_FULL is set. They cover the
// ways in which the gateway handles a stream.
var sampleSlugs = []string{"openai", "anthropic", "bytez", "cohere", "google", "groq", "hyperbolic", "novita-ai", "openrouter", "perplexity-ai", "sambanova", "vertex-ai", "workers-ai"}

// An sdk asks a model for an answer to a prompt and returns its text.
type sdk struct {
	name string
	ask  func(ctx context.Context, c *http.Client, model, prompt string) (string, error)
}

var (
	goOpenAISDK = sdk{"go-openai", func(ctx context.Context, c *http.Client, model, prompt string) (string, error) {
		cfg := openai.DefaultConfig(clientKey)
		cfg.HTTPClient = c
		stream, err := openai.NewClientWithConfig(cfg).CreateChatCompletionStream(ctx, openai.ChatCompletionRequest{Model: model, MaxCompletionTokens: 16,
			Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: prompt}}})
		if err != nil {
			return "", err
		}
		defer stream.Close()
		var text string
		for {
			chunk, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return text, nil
			} else if err != nil {
				return text, err
			}
			for _, choice := range chunk.Choices {
				text += choice.Delta.Content
			}
		}
	}}
	openAIGoSDK = sdk{"openai-go", func(ctx context.Context, c *http.Client, model, prompt string) (string, error) {
		client := responsesClient(c)
		stream := client.Chat.Completions.NewStreaming(ctx, openaigo.ChatCompletionNewParams{Model: model, MaxCompletionTokens: openaigo.Int(16),
			Messages: []openaigo.ChatCompletionMessageParamUnion{openaigo.UserMessage(prompt)}})
		defer stream.Close()
		var text string
		for stream.Next() {
			for _, choice := range stream.Current().Choices {
				text += choice.Delta.Content
			}
		}
		return text, stream.Err()
	}}
	anthropicStreams = sdk{"anthropic-sdk-go", func(ctx context.Context, c *http.Client, model, prompt string) (string, error) {
		client := newAnthropic(c)
		stream := client.Messages.NewStreaming(ctx, anthropic.MessageNewParams{Model: anthropic.Model(model), MaxTokens: 16,
			Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(prompt))}})
		defer stream.Close()
		var text string
		for stream.Next() {
			text += stream.Current().Delta.Text
		}
		return text, stream.Err()
	}}
	completionsSDK = sdk{"openai-go, completions", func(ctx context.Context, c *http.Client, model, prompt string) (string, error) {
		client := responsesClient(c)
		stream := client.Completions.NewStreaming(ctx, openaigo.CompletionNewParams{Model: openaigo.CompletionNewParamsModel(model),
			Prompt: openaigo.CompletionNewParamsPromptUnion{OfString: openaigo.String(prompt)}})
		defer stream.Close()
		var text string
		for stream.Next() {
			for _, choice := range stream.Current().Choices {
				text += choice.Text
			}
		}
		return text, stream.Err()
	}}
	responsesSDK = sdk{"openai-go, responses", func(ctx context.Context, c *http.Client, model, prompt string) (string, error) {
		client := responsesClient(c)
		stream := client.Responses.NewStreaming(ctx, responses.ResponseNewParams{Model: model,
			Input: responses.ResponseNewParamsInputUnion{OfString: openaigo.String(prompt)}})
		defer stream.Close()
		var text string
		for stream.Next() {
			if event := stream.Current(); event.Type == "response.output_text.delta" {
				text += event.Delta
			}
		}
		return text, stream.Err()
	}}
)

// A streamCase is a provider and an SDK that can stream its answers.
type streamCase struct {
	sdk    sdk
	slug   string
	model  string
	answer answer
}

func streamCases() []streamCase {
	var cases []streamCase
	for slug, a := range chatAnswers {
		if !isFull && !slices.Contains(sampleSlugs, slug) {
			continue
		}
		if a.first == "" {
			a = openAIChat
		}
		cases = append(cases, streamCase{goOpenAISDK, slug, "m1", a}, streamCase{openAIGoSDK, slug, "m1", a})
	}
	completions := answer{`data: {"id":"c1","object":"text_completion","choices":[{"index":0,"text":"Two","finish_reason":null}]}` + "\n\n" +
		`data: {"id":"c1","object":"text_completion","choices":[{"index":0,"text":"pages","finish_reason":null}]}` + "\n\n",
		`data: {"id":"c1","object":"text_completion","choices":[{"index":0,"text":"","finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n"}
	cases = append(cases,
		streamCase{anthropicStreams, "anthropic", "claude-x", anthropicAnswer},
		streamCase{anthropicStreams, "azure-ai", "claude-x", anthropicAnswer},
		streamCase{anthropicStreams, "vertex-ai", "anthropic.claude-x", anthropicAnswer},
		streamCase{completionsSDK, "openai", "m1", completions},
		streamCase{responsesSDK, "openai", "m1", responsesAnswer},
		streamCase{responsesSDK, "azure-openai", "m1", responsesAnswer})
	slices.SortFunc(cases, func(a, b streamCase) int {
		return strings.Compare(a.slug+" "+a.sdk.name, b.slug+" "+b.sdk.name)
	})
	return cases
}

const insideEvent = "end inside an event"

// completesEvents are the providers of which the gateway passes half an event on as a whole
// one, with JSON that an SDK cannot read.
var completesEvents = []string{"302ai", "aibadgr", "cometapi", "hyperbolic", "lepton"}

// cutOffs are the ways in which a provider breaks off an answer, after its first events.
var cutOffs = []struct {
	name string
	end  func(w http.ResponseWriter, a answer)
}{
	{"reset", func(w http.ResponseWriter, _ answer) { hijack(w, "", true) }},
	{"clean end", func(http.ResponseWriter, answer) {}},
	{"truncated chunk", func(w http.ResponseWriter, a answer) { hijack(w, "1000\r\n"+a.partOfAnEvent(), false) }},
	{insideEvent, func(w http.ResponseWriter, a answer) { io.WriteString(w, a.partOfAnEvent()) }},
}

// partOfAnEvent returns the first of the last events, without its end.
func (a answer) partOfAnEvent() string {
	event, _, _ := strings.Cut(strings.ReplaceAll(a.last, "\r\n", "\n"), "}\n\n")
	return event
}

// hijack writes text to the connection as it is, and closes or resets the connection.
func hijack(w http.ResponseWriter, text string, reset bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	io.WriteString(conn, text)
	if reset {
		conn.(interface{ SetLinger(int) error }).SetLinger(0)
	}
	conn.Close()
}

// newStreamUpstream starts a provider that streams answers and ends them by end, which is
// called after the first events were sent.
func newStreamUpstream(t *testing.T, a answer, end func(http.ResponseWriter, answer)) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, a.first)
		w.(http.Flusher).Flush()
		end(w, a)
	}))
	t.Cleanup(server.Close)
	return server
}

// streamClient returns a client of the gateway with opts.
func streamClient(t *testing.T, opts portkey.Options) *http.Client {
	t.Helper()
	opts.BaseURL = realgateway.URL(t)
	client, err := portkey.WrapClient(nil, opts)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// from returns a context for a call that the gateway sends to the provider with this slug,
// at upstream.
func from(t *testing.T, slug string, upstream *httptest.Server) context.Context {
	return portkey.WithHeaders(bounded(t), portkey.Headers{Provider: slug, CustomHost: upstream.URL, TraceID: "trace-" + slug})
}

// If a provider breaks off its answer, the gateway ends its own response properly. The table
// at the end has what an SDK reports without StrictStreams and with it, for each provider and
// each way to break off.
func TestStrictStreams(t *testing.T) {
	t.Parallel()
	lenient, strict := streamClient(t, portkey.Options{}), streamClient(t, portkey.Options{StrictStreams: true})
	cases := streamCases()
	table := make([]string, len(cases))
	var mu sync.Mutex
	total, silent := make(map[string]int), make(map[string]int) // streams that were cut off, by SDK
	t.Run("providers", func(t *testing.T) {
		for i, c := range cases {
			t.Run(c.slug+"/"+c.sdk.name, func(t *testing.T) {
				t.Parallel()
				complete := newStreamUpstream(t, c.answer, func(w http.ResponseWriter, a answer) { io.WriteString(w, a.last) })
				want := "Twopages"
				if c.slug == "hyperbolic" {
					want = "" // the gateway loses the deltas of its chunks
				}
				for _, client := range []*http.Client{lenient, strict} {
					if text, err := c.sdk.ask(from(t, c.slug, complete), client, c.model, "Summarize"); err != nil || text != want {
						t.Errorf("complete stream: got %q, %v, want %q", text, err, want)
					}
				}
				cells := []string{c.slug, c.sdk.name, "passes"}
				for _, cutOff := range cutOffs {
					upstream := newStreamUpstream(t, c.answer, cutOff.end)
					_, without := c.sdk.ask(from(t, c.slug, upstream), lenient, c.model, "Summarize")
					_, with := c.sdk.ask(from(t, c.slug, upstream), strict, c.model, "Summarize")
					cell := "silent without, reported with"
					var streamErr *portkey.StreamError
					switch isStreamError := errors.As(with, &streamErr) && !streamErr.Timeout() && streamErr.TraceID == "trace-"+c.slug; {
					case without == nil && isStreamError && errors.Is(with, io.ErrUnexpectedEOF):
					case slices.Contains(completesEvents, c.slug) && cutOff.name == insideEvent && without != nil && with != nil:
						cell = "an error of the SDK with and without: " + without.Error()
					default:
						t.Errorf("%s: got %v without StrictStreams, and %v with it; want silence, and a *StreamError with its trace ID", cutOff.name, without, with)
					}
					mu.Lock()
					total[c.sdk.name]++
					if without == nil {
						silent[c.sdk.name]++
					}
					mu.Unlock()
					cells = append(cells, cell)
				}
				table[i] = "| " + strings.Join(cells, " | ") + " |"
			})
		}
	})
	if t.Failed() {
		return
	}
	header := "| provider | SDK | complete |"
	for _, cutOff := range cutOffs {
		header += " " + cutOff.name + " |"
	}
	var sums []string
	for name, n := range total {
		sums = append(sums, fmt.Sprintf("%s: %d streams cut off, %d of them silent without StrictStreams, all reported with it", name, n, silent[name]))
	}
	slices.Sort(sums)
	t.Logf("what SDKs report when a provider breaks off:\n%s\n%s\n%s", header, strings.Join(table, "\n"), strings.Join(sums, "\n"))
}

// chatAnswers has every provider whose chat completions the gateway can stream.
func TestAllStreamingProvidersAreTried(t *testing.T) {
	t.Parallel()
	const (
		binary = "an event stream of AWS"
		signed = "needs a key of OCI"
		images = "has no chat, which the gateway does not check"
	)
	notTried := map[string]string{"bedrock": binary, "oracle": signed, "stability-ai": images}
	upstream := newStreamUpstream(t, openAIChat, func(w http.ResponseWriter, a answer) { io.WriteString(w, a.last) })
	client := streamClient(t, portkey.Options{})
	for _, slug := range gatewayProviders(t) {
		if _, ok := chatAnswers[slug]; ok || notTried[slug] != "" {
			continue
		}
		_, err := goOpenAISDK.ask(from(t, slug, upstream), client, "m1", "Summarize")
		if err == nil || !strings.Contains(err.Error(), lacks) && !strings.Contains(err.Error(), "not found") {
			t.Errorf("%s is not tried: got %v, want an error that the gateway lacks the endpoint", slug, err)
		}
	}
}

// A provider stalls if it sends nothing more, or only comments and pings.
func TestStreamIdleTimeout(t *testing.T) {
	t.Parallel()
	client := streamClient(t, portkey.Options{StreamIdleTimeout: 300 * time.Millisecond})
	for _, c := range []struct {
		streamCase
		alive string // what the provider goes on to send
	}{
		{streamCase{goOpenAISDK, "openai", "m1", openAIChat}, ""},
		{streamCase{openAIGoSDK, "openai", "m1", openAIChat}, ": keep-alive\n\n"},
		{streamCase{responsesSDK, "openai", "m1", responsesAnswer}, "event: keepalive\ndata: {\"type\":\"keepalive\",\"sequence_number\":3}\n\n"},
		{streamCase{goOpenAISDK, "google", "m1", geminiAnswer}, ""},
		{streamCase{anthropicStreams, "anthropic", "claude-x", anthropicAnswer}, ""},
		{streamCase{anthropicStreams, "anthropic", "claude-x", anthropicAnswer}, "event: ping\ndata: {\"type\": \"ping\"}\n\n"},
		{streamCase{goOpenAISDK, "anthropic", "claude-x", anthropicAnswer}, "event: ping\ndata: {\"type\": \"ping\"}\n\n"},
	} {
		t.Run(fmt.Sprintf("%s/%s/%.12s", c.slug, c.sdk.name, c.alive), func(t *testing.T) {
			t.Parallel()
			over := make(chan struct{})
			upstream := newStreamUpstream(t, c.answer, func(w http.ResponseWriter, _ answer) {
				for {
					select {
					case <-over:
						return
					case <-time.After(20 * time.Millisecond):
						io.WriteString(w, c.alive)
						w.(http.Flusher).Flush()
					}
				}
			})
			t.Cleanup(func() { close(over) }) // the gateway does not end its own call
			text, err := c.sdk.ask(from(t, c.slug, upstream), client, c.model, "Summarize")
			var streamErr *portkey.StreamError
			if !errors.As(err, &streamErr) || !streamErr.Timeout() || text == "" {
				t.Errorf("got %q, %v, want the first events and a *StreamError that is a timeout", text, err)
			}
		})
	}
}
