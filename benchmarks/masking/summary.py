"""Conclusions from the measured figures and the contact sheets, written by hand."""

VERDICT = """
**What is reproduced.** At equal face similarity the adversarial masker at K {compared} is more accurate than block
and blur where the task lies in the middle of the picture (expression). This holds in all three seeds by the retrained
classifier and, for hard releases, by the fixed classifier too: 60 to 98 %, where block and blur have 36 to 42 %.
Where the task lies at the edge (hair), a black square of a tenth of the area reduces face similarity to .12 and
leaves the hair, so there is little to gain. By the fixed classifier, hard releases at K 20 and {compared} are above
block and blur in all four fits. The retrained classifier has an accuracy of about 99 % for nearly every release. By
it, they are above the blur, and at most a point below the square. At equal K the adversary costs nothing by the
fixed classifier, which is 22 to 25 points *more* accurate on hard releases with it at K {compared}. By the
retrained classifier it costs .2 points of hair and 3.2 of expression.

**What is not reproduced.** The paper reports *less* face similarity than without the adversary at equal K (.20 against
.48 and .35 against .47). Over three seeds hard releases have .30 against .20 (hair) and .15
against .08 (expression); three of six pairs point one way and three the other. The contact sheets (seed 0) suggest
why. Without the adversary the masker has no reason to preserve the appearance of the task. On expression it
preserves the mouth of smiling faces, and specks of the face or strips at the border of others. On hair it does
preserve the hair itself, at K 5, 10 and 20 in five of six faces. Of the sixth, which is not blond, it preserves
mostly background and clothes. Its own predictor has an accuracy of 99 % and more on soft releases of drawn faces at
K {compared}; the classifier of originals has 30 to 90 %. The mask's place and brightness may explain part of that
gap, and training without pixels amid black another part. No classifier was trained on masks alone, so their shares
are unknown. With the adversary the classifier of originals is more accurate on hard releases at K {compared} in all
six pairs, and the sheets show the mouth or the hair with some of the face around it. Retrained attackers then infer
the person more accurately in both audited pairs (hair 54.7 against 47.3 %, expression 66.9 against 36.6 %). The
verification network does so in three of six pairs only: in the audited pair of hair the cosine is lower with the
adversary (.17 against .27). The paper's maskers without the adversary may have shown more of a face than ours (.47
and .48 there, .20 and .08 here at K {compared}). That is an inference, as the paper does not print K.

On Extended Yale B the task is the side of the light, which nearly every pixel shows. Face similarity *is* lower
with the adversary there, .25 against .31, but the task pays: 4.6 points by the retrained classifier and 22 by the
fixed one. Block and blur, which leave the light at the border, are as good as hard releases of the masker with the
adversary, or better. On hard releases of the maskers without it, the retrained classifier is more accurate than on
the block (98.1 against 94.6 %) and about as accurate as on the blur (96.7 %). The fixed classifier has 67 % against
61 and 94 %. On UTKFace (gender, of 3,000 pictures, with an accuracy of 76 % on originals) the masker is of no use
after so few steps: 71 % by the retrained classifier, as for a black square of 60 %.

At a smaller K the adversary removes more of the task. At K 10 of the drawn faces the retrained classifier has an
accuracy of 85.4 % for hair and 69.8 % for expression on hard releases (99.6 and 99.9 % without it). The fixed
classifier has 57.3 % for hair, above the 43.4 % without it, and cannot infer expression (31.8 %, the baseline is
34.6 %). At K 5 the masker preserves nearly the same strip of every picture in the sheets. At K 20 hair loses
nothing. Expression does worse than hair: at K 20, 10 and 5 the fixed classifier has 32 to 35 % on the adversary's
hard releases (57 to 90 % without it), the retrained classifier 93, 70 and 74 % (99.8 % or more without it). There
the adversary costs 6 to 30 points by the retrained classifier.

**What the audits add.** From either masker's hard release, retrained attackers infer the person and the sex far
above the baseline. A low cosine is not privacy. The black quarter of the drawn faces (hair) has .06, below the .08
of two different people; the accuracy for the person is still 33 % (baseline 6.4 %), and for the sex 97 %. No
audited masker is below two different people. The lowest, without the adversary on expression (.085 to .02), has 37
% for the person. On drawn faces attackers infer the person more accurately with the adversary than without it, and
as accurately on Extended Yale B. There the maskers reduce the accuracy for the person from 90 to 55 and 54 %, while
a black quarter removes nothing. On UTKFace the NAG of race falls from 1 to .26 (the quarter: .72), of age to .71
and of the task itself to .73.

A soft release is darker where m is well below 1 on the preserved pixels. Without the adversary, soft releases of
drawn faces have nearly the cosine of a black picture (.02 to .06 on hair, where that is .03, and -.02 to .01 on
expression, where it is -.03). The retrained classifier has 99 % or more on them at every K. With the adversary this
holds on hair at K {compared} (.04 to .05, 99 to 100 %) and on expression there in one seed (-.03, 95 %). Where m is
nearly 1 on the preserved pixels, soft releases have the cosines of hard ones: hair at K 20 and 10 (.34, .32),
expression at K {compared} in the other two seeds (.20, .21). The task is not always inferred accurately: with the
adversary the retrained classifier has 87 % of hair at K 10 and 5, 92.5, 74.4 and 79.2 % of expression at K 20, 10
and 5, and 67.7 % on UTKFace.

**Five times the steps** (2,250, two seeds, K {compared}; *steps 2250* below) do not reproduce the paper's result
either. On hair the cosine of hard releases is lower with the adversary in one seed (.12 against .20) and higher in
the other (.19 against .06), at no cost: 76 and 74 % by the fixed classifier against 58 and 52, 99 % and more by the
retrained classifier. On expression it is higher in both (.18 and .09 against .10 and .05), and the adversary
removes the task: 33 and 32 % by the fixed classifier (baseline 35), and 78 and 86 % by the retrained classifier
against 100.

**Other choices.** The default rate of the adversary is three times the masker's own, as one adversarial step
answers three others. The masker's own rate (*K 10, obfuscator_lr 0.002* below) gives 23 % by the fixed and 98.7 %
by the retrained classifier, against 57 and 85 %, at a similarity of .11 against .32. Batch norm by the withheld
pixels' own statistics (*K {compared}, statistics batch*) brings the obfuscator's loss on hair nearer to log N, 2.0
nats against 4.9 where log N is 1.4. It leaves less of the task: 24.2 % by the fixed classifier against 89.5 %, 83.9
against 99.3 % by the retrained classifier. With the running statistics the obfuscator is not confused on drawn
faces as the paper intends: its loss ends at 4.2 to 5.9 nats at K {compared} and at 1.7 to 5.3 at smaller K (log N:
1.4 and 1.1). A network trained on x_p alone may predict one class with certainty for nearly any other input. On
Extended Yale B the loss ends at 1.7; on UTKFace at .8, near log N (.7).
"""
