package interop

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/ai/azopenai"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/anthropics/anthropic-sdk-go"
	anthropicbedrock "github.com/anthropics/anthropic-sdk-go/bedrock"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	anthropicvertex "github.com/anthropics/anthropic-sdk-go/vertex"
	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go/auth/bearer"
	cohere "github.com/cohere-ai/cohere-go/v2"
	cohereclient "github.com/cohere-ai/cohere-go/v2/client"
	cohereoption "github.com/cohere-ai/cohere-go/v2/option"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/genai"
)

// Vertex AI. The token is added around the Transport.

var (
	vertexToken         = oauth2.StaticTokenSource(&oauth2.Token{AccessToken: clientKey})
	vertexGeminiDialect = dialect{answer: geminiDialect.answer, event: geminiDialect.event, credential: "Authorization", bearer: true}
	vertexClaudeDialect = dialect{answer: answerAnthropic, begin: anthropicDialect.begin, event: anthropicDialect.event, end: anthropicDialect.end,
		credential: "Authorization", bearer: true}
)

func genaiVertex() client {
	return genaiSDK("genai, Vertex AI", vertexGeminiDialect, "/v1beta1/projects/p/locations/europe-west4/publishers/google/models/m1:countTokens",
		func(c *http.Client) genai.ClientConfig {
			// genai adds no token to a client that it is given.
			c = &http.Client{Transport: &oauth2.Transport{Source: vertexToken, Base: c.Transport}}
			return genai.ClientConfig{Backend: genai.BackendVertexAI, Project: "p", Location: "europe-west4", HTTPClient: c}
		})
}

func anthropicVertex() client {
	return anthropicSDK("anthropic-sdk-go, Vertex AI", vertexClaudeDialect, "/v1/projects/p/locations/europe-west4/publishers/anthropic/models/count-tokens:rawPredict",
		func(ctx context.Context, c *http.Client) []anthropicoption.RequestOption {
			// The option for Vertex AI wraps the client that the options before it set.
			return []anthropicoption.RequestOption{anthropicoption.WithHTTPClient(c), anthropicoption.WithMaxRetries(0),
				anthropicvertex.WithCredentials(ctx, "europe-west4", "p", &google.Credentials{TokenSource: vertexToken})}
		})
}

// Amazon Bedrock

const bedrockRegion = "eu-west-1"

var signing = aws.Config{
	Region: bedrockRegion,
	Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret", SessionToken: "session"}, nil
	}),
	Retryer: func() aws.Retryer { return aws.NopRetryer{} },
}

var withBedrockKey = aws.Config{
	Region:                  bedrockRegion,
	BearerAuthTokenProvider: bearer.StaticTokenProvider{Token: bearer.Token{Value: clientKey}},
	AuthSchemePreference:    []string{"httpBearerAuth"},
	Retryer:                 signing.Retryer,
}

// checkSignature checks the signature of a request upstream, as AWS does.
func checkSignature(t *testing.T, seen received) {
	t.Helper()
	got, want, err := signatures(seen)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "signature", got, want)
}

// signatures returns the signature of a request upstream, and the one that the SDK's
// signer computes for it at the host that the client asked for.
func signatures(seen received) (got, want string, err error) {
	got = seen.Header.Get("Authorization")
	_, signed, ok := strings.Cut(got, "SignedHeaders=")
	if !ok {
		return "", "", errors.New("the request upstream is not signed")
	}
	signed, _, _ = strings.Cut(signed, ",")
	req, err := http.NewRequest(seen.Method, "https://bedrock-runtime."+bedrockRegion+".amazonaws.com"+seen.URI, nil)
	if err != nil {
		return "", "", err
	}
	for name := range strings.SplitSeq(signed, ";") {
		switch name {
		case "host":
		case "content-length":
			req.ContentLength = int64(len(seen.Body))
		default:
			req.Header[http.CanonicalHeaderKey(name)] = seen.Header.Values(name)
		}
	}
	at, err := time.Parse("20060102T150405Z", seen.Header.Get("X-Amz-Date"))
	if err != nil {
		return "", "", err
	}
	credentials, err := signing.Credentials.Retrieve(context.Background())
	if err != nil {
		return "", "", err
	}
	hash := sha256.Sum256(seen.Body)
	err = v4.NewSigner().SignHTTP(context.Background(), credentials, req, hex.EncodeToString(hash[:]), "bedrock", bedrockRegion, at)
	return got, req.Header.Get("Authorization"), err
}

var converseDialect = dialect{
	answer: reply(http.StatusOK, `{"output":{"message":{"role":"assistant","content":[{"text":"hello"}]}},"stopReason":"end_turn",
		"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3},"metrics":{"latencyMs":1}}`),
	streamType: awsStream,
	begin:      awsEvent("messageStart", `{"role":"assistant"}`),
	event: func(text string) string {
		return awsEvent("contentBlockDelta", fmt.Sprintf(`{"contentBlockIndex":0,"delta":{"text":%q}}`, text))
	},
	end:        awsEvent("contentBlockStop", `{"contentBlockIndex":0}`) + awsEvent("messageStop", `{"stopReason":"end_turn"}`),
	credential: "Authorization", bearer: true,
}

func bedrockRuntime(name string, cfg aws.Config) client {
	connect := func(c *http.Client) *bedrockruntime.Client {
		cfg := cfg
		cfg.HTTPClient = c
		return bedrockruntime.NewFromConfig(cfg)
	}
	cl := client{name: name, speak: converseDialect,
		chat: func(ctx context.Context, c *http.Client) (string, error) {
			return converse(ctx, connect(c), "hi")
		},
		stream: func(ctx context.Context, c *http.Client, each func(string)) error {
			resp, err := connect(c).ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{ModelId: aws.String("amazon.nova-lite-v1:0"), Messages: converseMessages("hi")})
			if err != nil {
				return err
			}
			defer resp.GetStream().Close()
			for event := range resp.GetStream().Events() {
				if delta, ok := event.(*types.ConverseStreamOutputMemberContentBlockDelta); ok {
					if text, ok := delta.Value.Delta.(*types.ContentBlockDeltaMemberText); ok {
						each(text.Value)
					}
				}
			}
			return resp.GetStream().Err()
		},
		count: counter{"/model/amazon.nova-lite-v1:0/count-tokens", func(ctx context.Context, c *http.Client) (int64, error) {
			resp, err := connect(c).CountTokens(ctx, &bedrockruntime.CountTokensInput{ModelId: aws.String("amazon.nova-lite-v1:0"),
				Input: &types.CountTokensInputMemberConverse{Value: types.ConverseTokensRequest{Messages: converseMessages("hi")}}})
			if err != nil {
				return 0, err
			}
			return int64(*resp.InputTokens), nil
		}}}
	if cfg.Credentials != nil {
		cl.verify = checkSignature
	}
	return cl
}

func converseMessages(text string) []types.Message {
	return []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: text}}}}
}

func converse(ctx context.Context, c *bedrockruntime.Client, prompt string) (string, error) {
	resp, err := c.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: aws.String("amazon.nova-lite-v1:0"), Messages: converseMessages(prompt)})
	if err != nil {
		return "", err
	}
	message, ok := resp.Output.(*types.ConverseOutputMemberMessage)
	if !ok || len(message.Value.Content) != 1 {
		return "", fmt.Errorf("got the output %v, want one message", resp.Output)
	}
	text, ok := message.Value.Content[0].(*types.ContentBlockMemberText)
	if !ok {
		return "", fmt.Errorf("got the content %v, want a text", message.Value.Content[0])
	}
	return text.Value, nil
}

// The gateway decodes the JSON of a request and encodes it again. The signature is
// that of the bytes which the client sent, so it is invalid if their encoders differ.
func TestSignatureIsInvalidIfTheGatewayEncodesThePromptDifferently(t *testing.T) {
	t.Parallel()
	clients := []struct {
		name   string
		answer http.HandlerFunc
		ask    func(ctx context.Context, c *http.Client, prompt string) error
	}{
		{"bedrockruntime", converseDialect.answer, func(ctx context.Context, c *http.Client, prompt string) error {
			cfg := signing
			cfg.HTTPClient = c
			_, err := converse(ctx, bedrockruntime.NewFromConfig(cfg), prompt)
			return err
		}},
		{"anthropic-sdk-go", answerAnthropic, func(ctx context.Context, c *http.Client, prompt string) error {
			params := anthropicParams
			params.Messages = []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(prompt))}
			cl := anthropic.NewClient(withSigning(ctx, c)...)
			_, err := cl.Messages.New(ctx, params)
			return err
		}},
	}
	for _, tt := range []struct {
		prompt string
		valid  [2]bool // of each client's signature
	}{
		{"grüß dich, 日本, 😀", [...]bool{true, true}},
		{"\n\t\r", [...]bool{true, true}},
		{`"'/\`, [...]bool{true, true}},
		{"<", [...]bool{true, false}}, // anthropic-sdk-go escapes it, as encoding/json does
		{"&", [...]bool{true, false}},
		{">", [...]bool{true, false}},
		{"\u00a0\u200b\ufeff\ufffd", [...]bool{true, true}},
		{"\x01\x1f", [...]bool{true, true}},
		{"\b", [...]bool{false, true}},
		{"\f", [...]bool{false, true}},
		{"\x7f", [...]bool{false, true}},
		{"\u2028", [...]bool{false, false}},
		{"\u2029", [...]bool{false, false}},
	} {
		for i, cl := range clients {
			t.Run(cl.name+"/"+strconv.QuoteToASCII(tt.prompt), func(t *testing.T) {
				t.Parallel()
				u := newUpstream(t, cl.answer)
				c, _ := client{}.connect(t, u)
				if err := cl.ask(bounded(t), c, tt.prompt); err != nil {
					t.Fatal(err)
				}
				seen := u.only(t)
				got, want, err := signatures(seen)
				if err != nil {
					t.Fatal(err)
				}
				check(t, "signature is valid", got == want, tt.valid[i])
				var body struct {
					Messages []struct{ Content []struct{ Text string } }
				}
				if err := json.Unmarshal(seen.Body, &body); err != nil {
					t.Fatal(err)
				}
				check(t, "prompt upstream", body.Messages[0].Content[0].Text, tt.prompt)
			})
		}
	}
}

func withSigning(_ context.Context, c *http.Client) []anthropicoption.RequestOption {
	return []anthropicoption.RequestOption{anthropicbedrock.WithConfig(signing), anthropicoption.WithHTTPClient(c), anthropicoption.WithMaxRetries(0)}
}

func anthropicBedrock() client {
	cl := anthropicSDK("anthropic-sdk-go, Bedrock", bedrockClaudeDialect, "", withSigning)
	cl.verify, cl.count = checkSignature, counter{}
	return cl
}

// Azure OpenAI

func azOpenAI() client {
	connect := func(c *http.Client) (*azopenai.Client, error) {
		return azopenai.NewClientWithKeyCredential("https://res.openai.azure.com", azcore.NewKeyCredential(clientKey), &azopenai.ClientOptions{
			ClientOptions: azcore.ClientOptions{Transport: c, Retry: policy.RetryOptions{MaxRetries: -1}}})
	}
	model := aws.String("m1")
	messages := []azopenai.ChatRequestMessageClassification{&azopenai.ChatRequestUserMessage{Content: azopenai.NewChatRequestUserMessageContent("hi")}}
	return client{name: "azopenai", speak: azureDialect,
		chat: func(ctx context.Context, c *http.Client) (string, error) {
			cl, err := connect(c)
			if err != nil {
				return "", err
			}
			resp, err := cl.GetChatCompletions(ctx, azopenai.ChatCompletionsOptions{DeploymentName: model, Messages: messages}, nil)
			if err != nil {
				return "", err
			}
			if len(resp.Choices) == 0 {
				return "", errors.New("the answer has no choices")
			}
			return *resp.Choices[0].Message.Content, nil
		},
		stream: func(ctx context.Context, c *http.Client, each func(string)) error {
			cl, err := connect(c)
			if err != nil {
				return err
			}
			resp, err := cl.GetChatCompletionsStream(ctx, azopenai.ChatCompletionsStreamOptions{DeploymentName: model, Messages: messages}, nil)
			if err != nil {
				return err
			}
			defer resp.ChatCompletionsStream.Close()
			for {
				chunk, err := resp.ChatCompletionsStream.Read()
				if errors.Is(err, io.EOF) {
					return nil
				} else if err != nil {
					return err
				}
				if text := chunk.Choices[0].Delta.Content; text != nil {
					each(*text)
				}
			}
		},
		embed: func(ctx context.Context, c *http.Client) error {
			cl, err := connect(c)
			if err != nil {
				return err
			}
			_, err = cl.GetEmbeddings(ctx, azopenai.EmbeddingsOptions{DeploymentName: model, Input: []string{"hi"}}, nil)
			return err
		},
		transcribe: func(ctx context.Context, c *http.Client, file io.Reader) (string, error) {
			cl, err := connect(c)
			if err != nil {
				return "", err
			}
			content, err := io.ReadAll(file)
			if err != nil {
				return "", err
			}
			resp, err := cl.GetAudioTranscription(ctx, azopenai.AudioTranscriptionOptions{DeploymentName: model, File: content, Filename: aws.String("a.wav")}, nil)
			if err != nil {
				return "", err
			}
			return *resp.Text, nil
		}}
}

// Cohere

var cohereDialect = dialect{
	answer: func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/embed") {
			reply(http.StatusOK, `{"id":"e1","response_type":"embeddings_by_type","embeddings":{"float":[[0.5]]},"texts":["hi"]}`)(w, r)
			return
		}
		reply(http.StatusOK, `{"id":"c1","finish_reason":"COMPLETE","message":{"role":"assistant","content":[{"type":"text","text":"hello"}]}}`)(w, r)
	},
	event:      sse("event: content-delta\n" + `data: {"type":"content-delta","index":0,"delta":{"message":{"content":{"text":%q}}}}`),
	credential: "Authorization", bearer: true,
}

var cohereMessages = cohere.ChatMessages{{Role: "user", User: &cohere.UserMessageV2{Content: &cohere.UserMessageV2Content{String: "hi"}}}}

// cohereClient has no stream: see TestCohereCannotReadAnEventThatArrivesAlone.
func cohereClient() client {
	connect := func(c *http.Client) *cohereclient.Client {
		return cohereclient.NewClient(cohereoption.WithToken(clientKey), cohereoption.WithHTTPClient(c), cohereoption.WithMaxAttempts(1))
	}
	return client{name: "cohere-go", speak: cohereDialect,
		chat: func(ctx context.Context, c *http.Client) (string, error) {
			resp, err := connect(c).V2.Chat(ctx, &cohere.V2ChatRequest{Model: "m1", Messages: cohereMessages})
			if err != nil {
				return "", err
			}
			if resp.Message == nil || len(resp.Message.Content) == 0 {
				return "", errors.New("the answer has no content")
			}
			return resp.Message.Content[0].Text.Text, nil
		},
		embed: func(ctx context.Context, c *http.Client) error {
			_, err := connect(c).V2.Embed(ctx, &cohere.V2EmbedRequest{Model: "m1", Texts: []string{"hi"}, InputType: cohere.EmbedInputTypeSearchQuery})
			return err
		}}
}

// cohere-go parses the empty line that ends an event as an event, unless the next
// event has already arrived.
func TestCohereCannotReadAnEventThatArrivesAlone(t *testing.T) {
	t.Parallel()
	test := func(name string, connect func(*testing.T, *upstream) []cohereoption.RequestOption) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, next := client{speak: cohereDialect}.newStream(t)
			defer close(next)
			stream, err := cohereclient.NewClient(connect(t, u)...).V2.ChatStream(bounded(t), &cohere.V2ChatStreamRequest{Model: "m1", Messages: cohereMessages})
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Close()
			event, err := stream.Recv()
			if err != nil || *event.ContentDelta.Delta.Message.Content.Text != pieces[0] {
				t.Fatalf("got %v and error %v, want the first piece", event, err)
			}
			var syntaxError *json.SyntaxError
			if event, err := stream.Recv(); !errors.As(err, &syntaxError) {
				t.Errorf("got %v and error %v, want a syntax error", event, err)
			}
		})
	}
	test("through the gateway", func(t *testing.T, u *upstream) []cohereoption.RequestOption {
		c, _ := client{speak: cohereDialect}.connect(t, u)
		return []cohereoption.RequestOption{cohereoption.WithToken(clientKey), cohereoption.WithHTTPClient(c)}
	})
	test("without", func(_ *testing.T, u *upstream) []cohereoption.RequestOption {
		return []cohereoption.RequestOption{cohereoption.WithToken(clientKey), cohereoption.WithBaseURL(u.URL)}
	})
}
