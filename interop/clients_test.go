package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	einoopenai "github.com/cloudwego/eino-ext/components/model/openai"
	"github.com/cloudwego/eino/schema"
	openaigo "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/azure"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/interop/internal/realgateway"
	openai "github.com/sashabaranov/go-openai"
	"github.com/tmc/langchaingo/llms"
	langanthropic "github.com/tmc/langchaingo/llms/anthropic"
	langopenai "github.com/tmc/langchaingo/llms/openai"
	"google.golang.org/genai"
)

// A dialect is what a provider speaks to its clients.
type dialect struct {
	base       string           // its base path upstream
	answer     http.HandlerFunc // one answer
	begin      string           // what begins a stream
	event      string           // one event of it, %q is the text
	end        string           // what ends a stream
	credential string           // the header upstream that has the credential
	bearer     bool
}

var (
	openAIDialect = dialect{"/v1", answerOpenAI, "",
		`data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m1","choices":[{"index":0,"delta":{"role":"assistant","content":%q},"finish_reason":null}]}`,
		"data: [DONE]\n\n", "Authorization", true}
	azureDialect     = dialect{"/openai", answerOpenAI, "", openAIDialect.event, openAIDialect.end, "Api-Key", false}
	entraDialect     = dialect{"/openai", answerOpenAI, "", openAIDialect.event, openAIDialect.end, "Authorization", true}
	anthropicDialect = dialect{"/v1", answerAnthropic,
		"event: message_start\n" + `data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[],"usage":{"input_tokens":1,"output_tokens":1}}}` + "\n\n" +
			"event: content_block_start\n" + `data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}` + "\n\n",
		"event: content_block_delta\n" + `data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":%q}}`,
		"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", "X-Api-Key", false}
	geminiDialect = dialect{"", reply(200, `{"candidates":[{"content":{"role":"model","parts":[{"text":"hello"}]},"finishReason":"STOP"}],
		"embeddings":[{"values":[0.5]}]}`), "",
		`data: {"candidates":[{"content":{"role":"model","parts":[{"text":%q}]}}]}`, "", "X-Goog-Api-Key", false}
	responsesDialect = dialect{"/v1", reply(200, `{"id":"r1","object":"response","created_at":1,"model":"m1","status":"completed",
		"output":[{"type":"message","id":"m","role":"assistant","status":"completed","content":[{"type":"output_text","text":"hello","annotations":[]}]}]}`), "",
		"event: response.output_text.delta\n" + `data: {"type":"response.output_text.delta","item_id":"m","output_index":0,"content_index":0,"sequence_number":1,"delta":%q}`,
		"", "Authorization", true}
)

// A client is one of other people's, unmodified: an http.Client is all that it is
// given. Its provider's base URL is its own default.
type client struct {
	name  string
	speak dialect
	chat  func(context.Context, *http.Client) (string, error)
	// stream calls each with each piece of text.
	stream func(ctx context.Context, c *http.Client, each func(string)) error
	embed  func(context.Context, *http.Client) error
	// transcribe sends a file, and returns the text that is said to be in it.
	transcribe func(ctx context.Context, c *http.Client, file io.Reader) (string, error)
	count      counter
	// quiet says that the client may take the end of a stream that was cancelled
	// for that of the answer: by chance, it tells its caller no error.
	quiet bool
	// sendsNone says that the client sends no credential: Headers.Authorization has it.
	sendsNone bool
}

// A counter has the provider count tokens, at path.
type counter struct {
	path   string
	tokens func(context.Context, *http.Client) (int64, error)
}

var clients = []client{
	goOpenAI("go-openai", openAIDialect, openai.DefaultConfig(clientKey)),
	goOpenAI("go-openai, Azure", azureDialect, openai.DefaultAzureConfig(clientKey, "https://res.openai.azure.com")),
	goOpenAI("go-openai, Azure with Entra", entraDialect, entraConfig()),
	goOpenAIForAnthropic(),
	openAIGo("openai-go", openAIDialect, option.WithAPIKey(clientKey)),
	openAIGo("openai-go, Azure", azureDialect, azure.WithEndpoint("https://res.openai.azure.com", "2024-06-01"), azure.WithAPIKey(clientKey)),
	{name: "openai-go, responses", speak: responsesDialect, chat: responsesChat, stream: responsesStream},
	{name: "anthropic-sdk-go", speak: anthropicDialect, chat: anthropicChat, stream: anthropicStream,
		count: counter{"/v1/messages/count_tokens", anthropicCount}},
	quietly(langchain("langchaingo, openai", openAIDialect, func(c *http.Client) (llms.Model, error) {
		return langopenai.New(langopenai.WithToken(clientKey), langopenai.WithHTTPClient(c), langopenai.WithModel("m1"))
	})),
	langchain("langchaingo, anthropic", anthropicDialect, func(c *http.Client) (llms.Model, error) {
		return langanthropic.New(langanthropic.WithToken(clientKey), langanthropic.WithHTTPClient(c), langanthropic.WithModel("m1"))
	}),
	{name: "eino-ext openai", speak: openAIDialect, chat: einoChat, stream: einoStream},
	{name: "genai", speak: geminiDialect, chat: genaiChat, stream: genaiStream, embed: genaiEmbed,
		count: counter{"/v1beta/models/m1:countTokens", genaiCount}},
}

func entraConfig() openai.ClientConfig {
	cfg := openai.DefaultAzureConfig(clientKey, "https://res.openai.azure.com")
	cfg.APIType = openai.APITypeAzureAD
	return cfg
}

func goOpenAI(name string, d dialect, cfg openai.ClientConfig) client {
	connect := func(c *http.Client) *openai.Client {
		cfg := cfg
		cfg.HTTPClient = c
		return openai.NewClientWithConfig(cfg)
	}
	return client{name: name, speak: d,
		chat: func(ctx context.Context, c *http.Client) (string, error) {
			resp, err := connect(c).CreateChatCompletion(ctx, chatRequest("m1"))
			if err != nil || len(resp.Choices) == 0 {
				return "", err
			}
			return resp.Choices[0].Message.Content, nil
		},
		stream: func(ctx context.Context, c *http.Client, each func(string)) error {
			stream, err := connect(c).CreateChatCompletionStream(ctx, chatRequest("m1"))
			if err != nil {
				return err
			}
			defer stream.Close()
			for {
				chunk, err := stream.Recv()
				if errors.Is(err, io.EOF) {
					return nil
				} else if err != nil {
					return err
				}
				if len(chunk.Choices) > 0 {
					each(chunk.Choices[0].Delta.Content)
				}
			}
		},
		embed: func(ctx context.Context, c *http.Client) error {
			_, err := connect(c).CreateEmbeddings(ctx, openai.EmbeddingRequest{Model: "m1", Input: "hi"})
			return err
		},
		transcribe: func(ctx context.Context, c *http.Client, file io.Reader) (string, error) {
			resp, err := connect(c).CreateTranscription(ctx, openai.AudioRequest{Model: "m1", FilePath: "a.wav", Reader: file})
			return resp.Text, err
		}}
}

func goOpenAIForAnthropic() client {
	cl := goOpenAI("go-openai, Anthropic", anthropicDialect, openai.DefaultAnthropicConfig(clientKey, ""))
	cl.sendsNone, cl.embed, cl.transcribe = true, nil, nil
	return cl
}

func openAIGo(name string, d dialect, opts ...option.RequestOption) client {
	connect := func(c *http.Client) openaigo.Client {
		return openaigo.NewClient(append(opts, option.WithHTTPClient(c), option.WithMaxRetries(0))...)
	}
	params := openaigo.ChatCompletionNewParams{Model: "m1", Messages: []openaigo.ChatCompletionMessageParamUnion{openaigo.UserMessage("hi")}}
	return client{name: name, speak: d,
		chat: func(ctx context.Context, c *http.Client) (string, error) {
			cl := connect(c)
			resp, err := cl.Chat.Completions.New(ctx, params)
			if err != nil {
				return "", err
			}
			return resp.Choices[0].Message.Content, nil
		},
		stream: func(ctx context.Context, c *http.Client, each func(string)) error {
			cl := connect(c)
			stream := cl.Chat.Completions.NewStreaming(ctx, params)
			defer stream.Close()
			for stream.Next() {
				if choices := stream.Current().Choices; len(choices) > 0 {
					each(choices[0].Delta.Content)
				}
			}
			return stream.Err()
		},
		embed: func(ctx context.Context, c *http.Client) error {
			cl := connect(c)
			_, err := cl.Embeddings.New(ctx, openaigo.EmbeddingNewParams{Model: "m1",
				Input: openaigo.EmbeddingNewParamsInputUnion{OfString: openaigo.String("hi")}})
			return err
		},
		transcribe: func(ctx context.Context, c *http.Client, file io.Reader) (string, error) {
			cl := connect(c)
			resp, err := cl.Audio.Transcriptions.New(ctx, openaigo.AudioTranscriptionNewParams{Model: "m1",
				File: openaigo.File(file, "a.wav", "audio/wav")})
			if err != nil {
				return "", err
			}
			return resp.Text, nil
		}}
}

func responsesClient(c *http.Client) openaigo.Client {
	return openaigo.NewClient(option.WithAPIKey(clientKey), option.WithHTTPClient(c), option.WithMaxRetries(0))
}

var responsesParams = responses.ResponseNewParams{Model: "m1", Input: responses.ResponseNewParamsInputUnion{OfString: openaigo.String("hi")}}

func responsesChat(ctx context.Context, c *http.Client) (string, error) {
	cl := responsesClient(c)
	resp, err := cl.Responses.New(ctx, responsesParams)
	if err != nil {
		return "", err
	}
	return resp.OutputText(), nil
}

func responsesStream(ctx context.Context, c *http.Client, each func(string)) error {
	cl := responsesClient(c)
	stream := cl.Responses.NewStreaming(ctx, responsesParams)
	defer stream.Close()
	for stream.Next() {
		if e := stream.Current(); e.Type == "response.output_text.delta" {
			each(e.Delta)
		}
	}
	return stream.Err()
}

func anthropicClient(c *http.Client) anthropic.Client {
	return anthropic.NewClient(anthropicoption.WithAPIKey(clientKey), anthropicoption.WithHTTPClient(c), anthropicoption.WithMaxRetries(0))
}

var anthropicParams = anthropic.MessageNewParams{Model: "claude-x", MaxTokens: 16,
	Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("hi"))}}

func anthropicChat(ctx context.Context, c *http.Client) (string, error) {
	cl := anthropicClient(c)
	resp, err := cl.Messages.New(ctx, anthropicParams)
	if err != nil {
		return "", err
	}
	return resp.Content[0].Text, nil
}

func anthropicStream(ctx context.Context, c *http.Client, each func(string)) error {
	cl := anthropicClient(c)
	stream := cl.Messages.NewStreaming(ctx, anthropicParams)
	defer stream.Close()
	for stream.Next() {
		if e := stream.Current(); e.Type == "content_block_delta" {
			each(e.Delta.Text)
		}
	}
	return stream.Err()
}

func anthropicCount(ctx context.Context, c *http.Client) (int64, error) {
	cl := anthropicClient(c)
	resp, err := cl.Messages.CountTokens(ctx, anthropic.MessageCountTokensParams{Model: "claude-x", Messages: anthropicParams.Messages})
	if err != nil {
		return 0, err
	}
	return resp.InputTokens, nil
}

func quietly(cl client) client { cl.quiet = true; return cl }

func langchain(name string, d dialect, connect func(*http.Client) (llms.Model, error)) client {
	generate := func(ctx context.Context, c *http.Client, opts ...llms.CallOption) (string, error) {
		m, err := connect(c)
		if err != nil {
			return "", err
		}
		return llms.GenerateFromSinglePrompt(ctx, m, "hi", opts...)
	}
	return client{name: name, speak: d,
		chat: func(ctx context.Context, c *http.Client) (string, error) { return generate(ctx, c) },
		stream: func(ctx context.Context, c *http.Client, each func(string)) error {
			_, err := generate(ctx, c, llms.WithStreamingFunc(func(_ context.Context, chunk []byte) error {
				each(string(chunk))
				return nil
			}))
			return err
		}}
}

func einoModel(ctx context.Context, c *http.Client) (*einoopenai.ChatModel, error) {
	return einoopenai.NewChatModel(ctx, &einoopenai.ChatModelConfig{APIKey: clientKey, Model: "m1", HTTPClient: c})
}

func einoChat(ctx context.Context, c *http.Client) (string, error) {
	m, err := einoModel(ctx, c)
	if err != nil {
		return "", err
	}
	resp, err := m.Generate(ctx, []*schema.Message{schema.UserMessage("hi")})
	if err != nil {
		return "", err
	}
	return resp.Content, nil
}

func einoStream(ctx context.Context, c *http.Client, each func(string)) error {
	m, err := einoModel(ctx, c)
	if err != nil {
		return err
	}
	stream, err := m.Stream(ctx, []*schema.Message{schema.UserMessage("hi")})
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		each(message.Content)
	}
}

func genaiClient(ctx context.Context, c *http.Client) (*genai.Client, error) {
	return genai.NewClient(ctx, &genai.ClientConfig{APIKey: clientKey, Backend: genai.BackendGeminiAPI, HTTPClient: c})
}

func genaiChat(ctx context.Context, c *http.Client) (string, error) {
	cl, err := genaiClient(ctx, c)
	if err != nil {
		return "", err
	}
	resp, err := cl.Models.GenerateContent(ctx, "m1", genai.Text("hi"), nil)
	if err != nil {
		return "", err
	}
	return resp.Text(), nil
}

func genaiStream(ctx context.Context, c *http.Client, each func(string)) error {
	cl, err := genaiClient(ctx, c)
	if err != nil {
		return err
	}
	for resp, err := range cl.Models.GenerateContentStream(ctx, "m1", genai.Text("hi"), nil) {
		if err != nil {
			return err
		}
		each(resp.Text())
	}
	return nil
}

func genaiEmbed(ctx context.Context, c *http.Client) error {
	cl, err := genaiClient(ctx, c)
	if err != nil {
		return err
	}
	_, err = cl.Models.EmbedContent(ctx, "m1", genai.Text("hi"), nil)
	return err
}

func genaiCount(ctx context.Context, c *http.Client) (int64, error) {
	cl, err := genaiClient(ctx, c)
	if err != nil {
		return 0, err
	}
	resp, err := cl.Models.CountTokens(ctx, "m1", genai.Text("hi"), nil)
	if err != nil {
		return 0, err
	}
	return int64(resp.TotalTokens), nil
}

// recorder keeps the header of the last request that the Transport has sent.
type recorder struct {
	mu   sync.Mutex
	last http.Header
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	r.last = req.Header.Clone()
	r.mu.Unlock()
	return http.DefaultTransport.RoundTrip(req)
}

func (cl *client) connect(t *testing.T, u *upstream) (*http.Client, *recorder) {
	t.Helper()
	h := portkey.Headers{CustomHost: u.URL + cl.speak.base}
	if cl.sendsNone {
		h.Authorization = "Bearer " + clientKey
	}
	r := new(recorder)
	c, err := portkey.WrapClient(&http.Client{Transport: r}, portkey.Options{BaseURL: realgateway.URL(t), Headers: h})
	if err != nil {
		t.Fatal(err)
	}
	return c, r
}

func (cl *client) checkCredential(t *testing.T, seen received) {
	t.Helper()
	want := clientKey
	if cl.speak.bearer {
		want = "Bearer " + want
	}
	seen.checkHeader(t, cl.speak.credential, want)
}

// newStream starts an upstream that streams the pieces; from the second on, each
// waits for next. The open-source gateway does not end its call when ours ends, so
// that the end of the test has to.
func (cl *client) newStream(t *testing.T) (u *upstream, next chan<- struct{}) {
	t.Helper()
	turn, over := make(chan struct{}), make(chan struct{})
	u = newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, cl.speak.begin)
		for i, piece := range pieces {
			if i > 0 {
				select {
				case <-turn:
				case <-over:
					return
				}
			}
			fmt.Fprintf(w, cl.speak.event+"\n\n", piece)
			w.(http.Flusher).Flush()
		}
		io.WriteString(w, cl.speak.end)
	})
	t.Cleanup(func() { close(over) }) // goes before the upstream's own
	return u, turn
}

// features are what each client is tried with. A test returns "-" for what the
// client does not have, and else what the table at the end says.
var features = []struct {
	name string
	test func(*testing.T, *client) string
}{
	{"chat", func(t *testing.T, cl *client) string {
		u := newUpstream(t, cl.speak.answer)
		c, sent := cl.connect(t, u)
		var info portkey.ResponseInfo
		ctx := portkey.WithResponseInfo(portkey.WithTrace(bounded(t), "trace-1"), &info)
		ctx = portkey.WithMetadata(ctx, portkey.Metadata{"_user": "jö"})
		got, err := cl.chat(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		check(t, "answer", got, "hello")
		check(t, "trace ID that the gateway names", info.TraceID, "trace-1")
		check(t, "metadata", sent.last.Get("X-Portkey-Metadata"), `{"_user":"j\u00f6"}`)
		seen := u.only(t)
		cl.checkCredential(t, seen)
		if strings.Contains(fmt.Sprint(seen), "undefined") {
			t.Errorf("upstream got something undefined: %v", seen)
		}
		return "ok"
	}},
	{"stream", func(t *testing.T, cl *client) string {
		u, next := cl.newStream(t)
		c, _ := cl.connect(t, u)
		ctx := bounded(t)
		var got []string
		err := cl.stream(ctx, c, func(piece string) {
			if piece == "" {
				return
			}
			if got = append(got, piece); len(got) < len(pieces) {
				select { // the next one is sent only now
				case next <- struct{}{}:
				case <-ctx.Done():
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		check(t, "pieces", strings.Join(got, ""), strings.Join(pieces, ""))
		return "ok"
	}},
	// The open-source gateway goes on with its own call of the provider: what is
	// seen here is that the client's ends at once, in the middle of a stream.
	{"cancel in mid-stream", func(t *testing.T, cl *client) string {
		u, _ := cl.newStream(t)
		c, _ := cl.connect(t, u)
		ctx, cancel := context.WithCancel(bounded(t))
		defer cancel()
		if err := cl.stream(ctx, c, func(string) { cancel() }); err == nil && !cl.quiet {
			t.Error("got no error of a stream that was cancelled")
		}
		if cl.quiet {
			return "maybe without an error"
		}
		return "ok"
	}},
	{"embeddings", func(t *testing.T, cl *client) string {
		if cl.embed == nil {
			return "-"
		}
		u := newUpstream(t, cl.speak.answer)
		c, _ := cl.connect(t, u)
		if err := cl.embed(bounded(t), c); err != nil {
			t.Fatal(err)
		}
		seen := u.only(t)
		contains(t, "path upstream", strings.ToLower(seen.Path), "embed")
		return "ok"
	}},
	{"multipart", func(t *testing.T, cl *client) string {
		if cl.transcribe == nil {
			return "-"
		}
		u := newUpstream(t, reply(http.StatusOK, `{"text":"hello"}`))
		c, _ := cl.connect(t, u)
		file := make([]byte, 1<<20) // more than one write, of every byte
		for i := range file {
			file[i] = byte(i)
		}
		text, err := cl.transcribe(bounded(t), c, bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		check(t, "text", text, "hello")
		seen := u.only(t)
		contains(t, "path upstream", seen.Path, "/audio/transcriptions")
		cl.checkCredential(t, seen)
		form := http.Request{Method: seen.Method, Header: seen.Header, Body: io.NopCloser(bytes.NewReader(seen.Body))}
		part, _, err := form.FormFile("file")
		if err != nil {
			t.Fatalf("file upstream: %v", err)
		}
		defer part.Close()
		if got, err := io.ReadAll(part); err != nil || !bytes.Equal(got, file) {
			t.Errorf("file upstream: got %d bytes and error %v, want the same %d", len(got), err, len(file))
		}
		check(t, "model upstream", form.FormValue("model"), "m1")
		return "ok"
	}},
	{"count tokens", func(t *testing.T, cl *client) string {
		if cl.count.tokens == nil {
			return "-"
		}
		u := newUpstream(t, reply(http.StatusOK, `{"input_tokens":7,"totalTokens":7}`))
		c, _ := cl.connect(t, u)
		n, err := cl.count.tokens(bounded(t), c)
		if err != nil {
			t.Fatal(err)
		}
		check(t, "tokens", n, 7)
		seen := u.only(t)
		seen.checkURL(t, http.MethodPost, cl.count.path)
		cl.checkCredential(t, seen)
		contains(t, "body upstream", string(seen.Body), `"hi"`)
		return "ok"
	}},
	{"error's message", func(t *testing.T, cl *client) string {
		u := newUpstream(t, reply(http.StatusTooManyRequests,
			`{"type":"error","error":{"message":"slow down, please","type":"rate_limit_error","code":429,"status":"RESOURCE_EXHAUSTED"}}`))
		c, _ := cl.connect(t, u)
		_, err := cl.chat(bounded(t), c)
		if err == nil {
			t.Fatal("got no error")
		}
		if strings.Contains(err.Error(), "slow down, please") {
			return "ok"
		}
		var apiErr *openaigo.Error
		if !errors.As(err, &apiErr) {
			t.Fatalf("got %q, want the provider's message in it", err)
		}
		contains(t, "message", apiErr.Message, "slow down, please")
		return "in the error's Message"
	}},
}

func TestClients(t *testing.T) {
	var mu sync.Mutex
	results := make(map[string]string)
	t.Run("all", func(t *testing.T) {
		for i := range clients {
			cl := &clients[i]
			for _, f := range features {
				t.Run(cl.name+"/"+f.name, func(t *testing.T) {
					t.Parallel()
					result := "FAILED"
					defer func() {
						mu.Lock()
						defer mu.Unlock()
						results[cl.name+"/"+f.name] = result
					}()
					if got := f.test(t, cl); !t.Failed() {
						result = got
					}
				})
			}
		}
	})
	if len(results) == 0 {
		t.SkipNow() // no gateway
	}
	table := "\n| client |"
	for _, f := range features {
		table += " " + f.name + " |"
	}
	table += "\n| --- |" + strings.Repeat(" --- |", len(features))
	for _, cl := range clients {
		table += "\n| " + cl.name + " |"
		for _, f := range features {
			table += " " + results[cl.name+"/"+f.name] + " |"
		}
	}
	fmt.Fprintln(os.Stdout, table)
}

// The gateway has a version and a beta of its own for a request without: the ones
// here are neither.
func TestAnthropicKeepsVersionAndBeta(t *testing.T) {
	t.Parallel()
	const version, betas = "2042-01-01", "first-beta,second-beta"
	opts := []anthropicoption.RequestOption{anthropicoption.WithHeader("anthropic-version", version)}
	params := anthropic.BetaMessageNewParams{Model: "claude-x", MaxTokens: 16, Betas: strings.Split(betas, ","),
		Messages: []anthropic.BetaMessageParam{anthropic.NewBetaUserMessage(anthropic.NewBetaTextBlock("hi"))}}
	test := func(name string, answer http.HandlerFunc, call func(context.Context, anthropic.Client) (string, error)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t, answer)
			c, _ := (&client{speak: anthropicDialect}).connect(t, u)
			got, err := call(bounded(t), anthropicClient(c))
			if err != nil {
				t.Fatal(err)
			}
			check(t, "answer", got, "hello")
			seen := u.only(t)
			seen.checkURL(t, http.MethodPost, "/v1/messages")
			seen.checkHeader(t, "Anthropic-Version", version)
			seen.checkHeader(t, "Anthropic-Beta", betas)
		})
	}
	test("message", answerAnthropic, func(ctx context.Context, cl anthropic.Client) (string, error) {
		resp, err := cl.Messages.New(ctx, anthropicParams, append(opts, anthropicoption.WithHeader("anthropic-beta", betas))...)
		if err != nil {
			return "", err
		}
		return resp.Content[0].Text, nil
	})
	test("beta message", answerAnthropic, func(ctx context.Context, cl anthropic.Client) (string, error) {
		resp, err := cl.Beta.Messages.New(ctx, params, opts...)
		if err != nil {
			return "", err
		}
		return resp.Content[0].Text, nil
	})
	test("beta stream", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, anthropicDialect.begin+anthropicDialect.event+"\n\n"+anthropicDialect.end, "hello")
	}, func(ctx context.Context, cl anthropic.Client) (text string, err error) {
		stream := cl.Beta.Messages.NewStreaming(ctx, params, opts...)
		defer stream.Close()
		for stream.Next() {
			text += stream.Current().Delta.Text
		}
		return text, stream.Err()
	})
}
