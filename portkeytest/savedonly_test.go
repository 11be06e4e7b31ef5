package portkeytest_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
	openai "github.com/sashabaranov/go-openai"
)

func newSavedOnlyGateway(t *testing.T) *portkeytest.Gateway {
	t.Helper()
	gw := portkeytest.NewGateway(t)
	gw.SavedOnly = true
	return gw
}

func TestSavedOnlyRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		header http.Header
		code   string
		field  string
	}{
		{"inline config", portkeyHeader("Config", `{"provider":"@openai-prod"}`),
			"inline_config_blocked", "x-portkey-config"},
		{"bare provider", portkeyHeader("Provider", "openai"),
			"inline_provider_blocked", "x-portkey-provider"},
		{"unknown bare provider", portkeyHeader("Provider", "nope"),
			"inline_provider_blocked", "x-portkey-provider"},
		{"custom host", portkeyHeader("Provider", "@openai-prod", "Custom-Host", "https://llm.example.com/v1"),
			"inline_custom_host_blocked", "x-portkey-custom-host"},
		{"Hugging Face URL", portkeyHeader("Provider", "@hf", "Huggingface-Base-Url", "https://hf.example.com"),
			"inline_provider_url_blocked", "x-portkey-huggingface-base-url"},
		{"Azure Foundry URL", portkeyHeader("Provider", "@az", "Azure-Foundry-Url", "https://az.example.com"),
			"inline_provider_url_blocked", "x-portkey-azure-foundry-url"},
		{"Databricks workspace", portkeyHeader("Provider", "@db", "Databricks-Workspace", "w"),
			"inline_provider_url_blocked", "x-portkey-databricks-workspace"},
		{"forward headers", portkeyHeader("Provider", "@openai-prod", "Forward-Headers", "x-a"),
			"inline_forward_headers_blocked", "x-portkey-forward-headers"},
		{"only the first violation", portkeyHeader("Provider", "openai", "Forward-Headers", "x-a"),
			"inline_provider_blocked", "x-portkey-provider"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gw := newSavedOnlyGateway(t)
			resp, body := postChat(t, gw, tt.header, chatBody)
			checkEqual(t, "status", resp.StatusCode, 400)
			var got struct {
				Status, Message string
				Error           struct{ Code, Message, Field string }
			}
			decodeJSON(t, body, &got)
			checkEqual(t, "body.status", got.Status, "failure")
			checkEqual(t, "code", got.Error.Code, tt.code)
			checkEqual(t, "field", got.Error.Field, tt.field)
			checkEqual(t, "error.message", got.Error.Message, got.Message)
			checkContains(t, "message", got.Message, "saved-only mode")

			gw = portkeytest.NewGateway(t)
			if tt.name != "unknown bare provider" {
				resp, _ = postChat(t, gw, tt.header, chatBody)
				checkEqual(t, "status without SavedOnly", resp.StatusCode, 200)
			}
		})
	}
}

func TestSavedOnlyAccepts(t *testing.T) {
	t.Parallel()
	credential := portkeyHeader("Provider", "@openai-prod")
	credential.Set("Authorization", "Bearer sk-1")
	for _, tt := range []struct {
		name   string
		header http.Header
		body   string
	}{
		{"saved provider", portkeyHeader("Provider", "@openai-prod"), chatBody},
		{"saved config", portkeyHeader("Config", "pc-1"), chatBody},
		{"saved model", portkeyHeader(), strings.Replace(chatBody, "m1", "@openai-prod/m1", 1)},
		{"virtual key", portkeyHeader("Virtual-Key", "vk"), chatBody},
		{"credential", credential, chatBody},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			resp, body := postChat(t, newSavedOnlyGateway(t), tt.header, tt.body)
			checkEqual(t, "status", resp.StatusCode, 200)
			checkContains(t, "body", body, "You said: hi")
		})
	}
}

func TestOpenAIClientReadsSavedOnlyErrors(t *testing.T) {
	t.Parallel()
	gw := newSavedOnlyGateway(t)
	_, err := newOpenAIClient(t, gw).CreateEmbeddings(t.Context(), openai.EmbeddingRequestStrings{Input: []string{"hi"}})
	var apiErr *openai.APIError
	if !errors.As(err, &apiErr) {
		t.Fatalf("got %v, want an APIError", err)
	}
	checkEqual(t, "status", apiErr.HTTPStatusCode, 400)
	checkEqual(t, "code", apiErr.Code, any("inline_provider_blocked"))

	cfg := openai.DefaultConfig("sk-test")
	cfg.HTTPClient = httpClient
	cfg, err = portkey.WrapOpenAIConfig(cfg, portkey.Options{
		BaseURL: gw.URL(), Headers: portkey.Headers{Provider: "@openai-prod"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = openai.NewClientWithConfig(cfg).CreateEmbeddings(t.Context(),
		openai.EmbeddingRequestStrings{Input: []string{"hi"}})
	if err != nil {
		t.Errorf("saved provider: got %v, want no error", err)
	}
}
