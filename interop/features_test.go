package interop

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/interop/internal/realgateway"
)

// A dialect is what a provider speaks to its clients.
type dialect struct {
	base       string              // its base path upstream
	answer     http.HandlerFunc    // one answer
	begin      string              // what begins a stream
	event      func(string) string // one event of it, with a text
	end        string              // what ends a stream
	streamType string              // the Content-Type of a stream; "": text/event-stream
	credential string              // the header upstream that has the credential; "": none
	bearer     bool
}

// sse returns the events of a stream, from data in which %q is the text.
func sse(format string) func(string) string {
	return func(text string) string { return fmt.Sprintf(format+"\n\n", text) }
}

// claudeStops is the event before the last one of Anthropic's streams.
const claudeStops = `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}`

var (
	openAIDialect = dialect{base: "/v1", answer: answerOpenAI,
		event: sse(`data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m1","choices":[{"index":0,"delta":{"role":"assistant","content":%q},"finish_reason":null}]}`),
		end: `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` +
			"\n\ndata: [DONE]\n\n", credential: "Authorization", bearer: true}
	azureDialect = dialect{base: "/openai", answer: answerOpenAI, event: openAIDialect.event, end: openAIDialect.end, credential: "Api-Key"}

	anthropicDialect = dialect{base: "/v1", answer: answerAnthropic,
		begin: "event: message_start\n" + `data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[],"usage":{"input_tokens":1,"output_tokens":1}}}` + "\n\n" +
			"event: content_block_start\n" + `data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}` + "\n\n",
		event: sse("event: content_block_delta\n" + `data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":%q}}`),
		end: "event: message_delta\ndata: " + claudeStops + "\n\n" +
			"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", credential: "X-Api-Key"}
	geminiDialect = dialect{answer: reply(200, `{"candidates":[{"content":{"role":"model","parts":[{"text":"hello"}]},"finishReason":"STOP"}],
		"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2,"totalTokenCount":3},"embeddings":[{"values":[0.5]}]}`),
		event: sse(`data: {"candidates":[{"content":{"role":"model","parts":[{"text":%q}]}}]}`),
		end:   `data: {"candidates":[{"finishReason":"STOP"}]}` + "\n\n", credential: "X-Goog-Api-Key"}
	responsesDialect = dialect{base: "/v1", answer: reply(200, `{"id":"r1","object":"response","created_at":1,"model":"m1","status":"completed",
		"output":[{"type":"message","id":"m","role":"assistant","status":"completed","content":[{"type":"output_text","text":"hello","annotations":[]}]}]}`),
		event:      sse("event: response.output_text.delta\n" + `data: {"type":"response.output_text.delta","item_id":"m","output_index":0,"content_index":0,"sequence_number":1,"delta":%q}`),
		end:        "event: response.completed\n" + `data: {"type":"response.completed","sequence_number":2,"response":{"id":"r1","object":"response","created_at":1,"model":"m1","status":"completed","output":[]}}` + "\n\n",
		credential: "Authorization", bearer: true}
)

// awsEvent returns an event of AWS's binary streams.
func awsEvent(kind, payload string) string {
	var b bytes.Buffer
	err := eventstream.NewEncoder().Encode(&b, eventstream.Message{
		Headers: eventstream.Headers{
			{Name: ":message-type", Value: eventstream.StringValue("event")},
			{Name: ":event-type", Value: eventstream.StringValue(kind)},
			{Name: ":content-type", Value: eventstream.StringValue("application/json")},
		},
		Payload: []byte(payload),
	})
	if err != nil {
		panic(err)
	}
	return b.String()
}

const awsStream = "application/vnd.amazon.eventstream"

var bedrockClaudeDialect = dialect{
	answer:     answerAnthropic,
	streamType: awsStream,
	begin:      claudeChunk(`{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[],"usage":{"input_tokens":1,"output_tokens":1}}}`),
	event: func(text string) string {
		return claudeChunk(fmt.Sprintf(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":%q}}`, text))
	},
	end:        claudeChunk(claudeStops) + claudeChunk(`{"type":"message_stop"}`),
	credential: "Authorization", bearer: true,
}

func claudeChunk(event string) string {
	return awsEvent("chunk", `{"bytes":"`+base64.StdEncoding.EncodeToString([]byte(event))+`"}`)
}

// A client is one of other people's, unmodified: an http.Client is all that it is
// given. Its provider's base URL is its own default.
type client struct {
	name  string
	speak dialect
	chat  func(context.Context, *http.Client) (string, error)
	// stream calls each with each piece of text; nil if the client cannot read a stream.
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
	// upstream is the line of Upstreams that the client needs, if any.
	upstream portkey.Upstream
	// verify checks the credential upstream, if it is more than a key in a header.
	verify func(*testing.T, received)
	// message finds the provider's message in an error whose text lacks it.
	message func(error) string
}

// A counter has the provider count tokens, at path.
type counter struct {
	path   string
	tokens func(context.Context, *http.Client) (int64, error)
}

func quietly(cl client) client { cl.quiet = true; return cl }

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

func (cl client) connect(t *testing.T, u *upstream) (*http.Client, *recorder) {
	t.Helper()
	opts := portkey.Options{BaseURL: realgateway.URL(t)}
	if cl.upstream.BaseURL != "" {
		cl.upstream.CustomHost = u.URL + cl.speak.base
		opts.Upstreams = append(opts.Upstreams, cl.upstream)
	} else {
		opts.Headers.CustomHost = u.URL + cl.speak.base
	}
	if cl.sendsNone {
		opts.Headers.Authorization = "Bearer " + clientKey
	}
	r := new(recorder)
	c, err := portkey.WrapClient(&http.Client{Transport: r}, opts)
	if err != nil {
		t.Fatal(err)
	}
	return c, r
}

func (cl client) checkCredential(t *testing.T, seen received) {
	t.Helper()
	if cl.verify != nil {
		cl.verify(t, seen)
		return
	}
	if cl.speak.credential == "" {
		return
	}
	want := clientKey
	if cl.speak.bearer {
		want = "Bearer " + want
	}
	seen.checkHeader(t, cl.speak.credential, want)
}

// newStream starts an upstream that streams the pieces; from the second on, each
// waits for next. The open-source gateway does not end its call when ours ends, so
// that the end of the test has to.
func (cl client) newStream(t *testing.T) (u *upstream, next chan<- struct{}) {
	t.Helper()
	turn, over := make(chan struct{}), make(chan struct{})
	u = newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", cmp.Or(cl.speak.streamType, "text/event-stream"))
		io.WriteString(w, cl.speak.begin)
		for i, piece := range pieces {
			if i > 0 {
				select {
				case <-turn:
				case <-over:
					return
				}
			}
			io.WriteString(w, cl.speak.event(piece))
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
		if cl.stream == nil {
			return "-"
		}
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
		if cl.stream == nil {
			return "-"
		}
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
		if path := strings.ToLower(seen.Path); !strings.Contains(path, "embed") && !strings.HasSuffix(path, ":predict") { // Vertex AI's
			t.Errorf("path upstream: got %s, want one of embeddings", seen.Path)
		}
		cl.checkCredential(t, seen)
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
		u := newUpstream(t, reply(http.StatusOK, `{"input_tokens":7,"totalTokens":7,"inputTokens":7}`))
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
			`{"type":"error","message":"slow down, please","error":{"message":"slow down, please","type":"rate_limit_error","code":429,"status":"RESOURCE_EXHAUSTED"}}`))
		c, _ := cl.connect(t, u)
		_, err := cl.chat(bounded(t), c)
		if err == nil {
			t.Fatal("got no error")
		}
		if strings.Contains(err.Error(), "slow down, please") {
			return "ok"
		}
		if cl.message == nil {
			t.Fatalf("got %q, want the provider's message in it", err)
		}
		contains(t, "message", cl.message(err), "slow down, please")
		return "in the error's Message"
	}},
}

func TestClients(t *testing.T) {
	clients := slices.Concat(clients, frameworks)
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
