package msgconv

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestStrict: the quick look lets nothing through that the renderer would not
// have written.
func TestStrict(t *testing.T) {
	t.Parallel()
	for _, ok := range []string{
		"", "text\n\twith &amp; &lt;b&gt; &#34;q&#34; &#39;a&#39; é 👍", "<p>a<br>b</p><hr>", `<a href="https://a.b/?x=1&amp;y=2">l</a>`, `<a href="matrix:u/a:b">m</a>`,
		`<code class="language-c++">x</code>`, `<span data-mx-spoiler="">s</span>`, `<ol start="3"><li>x</li></ol>`, `<img src="mxc://a.b/c" alt="&#34;" data-mx-emoticon="" height="32">`,
	} {
		require.True(t, strict(ok, matrixTags), ok)
	}
	for _, bad := range []string{
		"<", "<p", "</", "<p/>", "< p>", "<P>", "<p >", "<p class=\"x\">", "</p >", "</br>", "<script>", "<svg onload=\"x\">", "<!-- x -->", "<![CDATA[x]]>", "<?x?>",
		"a & b", "&nbsp;", "&#60;script&#62;", "&lt", "\"", "'", ">", "\x00", "\x7f", "\xff", "\r",
		`<a href="javascript:alert(1)">x</a>`, `<a href="//a.b">x</a>`, `<a href="https://a.b" onclick="x">x</a>`, `<a href='https://a.b'>x</a>`, `<a href=https://a.b>x</a>`,
		`<a href="https://a.b/ x">x</a>`, `<a href="&#106;avascript:x">x</a>`, `<a href="https://a.b/<x">x</a>`, "<a>x</a>", "<span>x</span>", `<a href="mxc://a.b/c">x</a>`,
		`<img src="https://a.b/c">`, `<img src="data:image/png,x">`, "<img>", `<img alt="x" src="mxc://a.b/c/../d">`, `<code class="x">y</code>`, `<p style="x">y</p>`, `<a href="https://a.b"/>`,
		`<a href="https://a.b">x</a`, `<a href="https://a.b`, `<a  href="https://a.b">x</a>`, `<at id="0">x</at>`, "<s>x</s>",
	} {
		require.False(t, strict(bad, matrixTags), bad)
	}
	require.True(t, strict(`<at id="0">x</at><codeblock class=""><code>y</code></codeblock><img src="../hostedContents/1/$value" alt="z" width="1">`, teamsTags))
	for _, bad := range []string{`<at id="x">x</at>`, "<at>x</at>", "<codeblock>", `<a href="matrix:u/a:b">m</a>`, "<del>x</del>", `<img src="https://a.b/c">`, `<img src="mxc://a.b/c">`, `<img src="../hostedContents/1/../2/$value">`} {
		require.False(t, strict(bad, teamsTags), bad)
	}
}
